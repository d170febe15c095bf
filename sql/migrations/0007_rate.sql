-- PROTOCOL 2: what the exchange allows in a window, leased to the processes in slices.

-- One row per limit of an address or of an API key. Counts begin anew with each window of the exchange's clock.
CREATE TABLE bridge.rate (
    scope       text    NOT NULL CHECK (scope IN ('address', 'key')),
    key         text    NOT NULL,              -- base URL, or the hash of the API key
    kind        text    NOT NULL,              -- REQUEST_WEIGHT, RAW_REQUESTS or ORDERS
    interval_ms bigint  NOT NULL,
    window_no   bigint  NOT NULL,              -- exchange's time / interval_ms
    granted     bigint  NOT NULL,              -- leased in this window so far, or seen used by others
    ceiling     bigint  NOT NULL,              -- of the last request: up to which it could lease
    wanted      bigint  NOT NULL,
    seen        bigint  NOT NULL,
    given       bigint  NOT NULL,
    PRIMARY KEY (scope, key, kind, interval_ms)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- The standing allowances: each is held by one process at a time, which needs to ask nobody for it.
CREATE TABLE bridge.rate_seat (
    seat        smallint    PRIMARY KEY,
    owner       text        NOT NULL,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);
