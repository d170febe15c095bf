-- How each contender learns of a row: one trigger per INSERT statement, as the bridge has it.
-- name: notify
CREATE FUNCTION public.bench_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('bench_orders', '');
    RETURN NULL;
END $$;
CREATE TRIGGER bench_notify AFTER INSERT ON public.orders FOR EACH STATEMENT EXECUTE FUNCTION public.bench_notify();
-- name: pgqueuer
CREATE FUNCTION public.bench_enqueue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH job AS (
        INSERT INTO pgqueuer (priority, entrypoint, payload, status)
        SELECT 0, 'order', convert_to(jsonb_build_object('id', id, 'account', exchange_account_id, 'symbol', symbol,
                                                         'side', side, 'amount', amount::text)::text, 'UTF8'), 'queued'
          FROM inserted
     RETURNING id
    )
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority) SELECT id, 'queued', 'order', 0 FROM job;
    RETURN NULL;
END $$;
CREATE TRIGGER bench_enqueue AFTER INSERT ON public.orders REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.bench_enqueue();
-- name: procrastinate
CREATE FUNCTION public.bench_defer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM procrastinate_defer_jobs_v1(array_agg(ROW('orders', 'order', 0, NULL, NULL,
                jsonb_build_object('id', id, 'account', exchange_account_id, 'symbol', symbol, 'side', side,
                                   'amount', amount::text), NULL)::procrastinate_job_to_defer_v1))
       FROM inserted;
    RETURN NULL;
END $$;
CREATE TRIGGER bench_defer AFTER INSERT ON public.orders REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION public.bench_defer();
