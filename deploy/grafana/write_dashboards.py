"""Write deploy/grafana/dashboards/*.json: `python -m deploy.grafana.write_dashboards`; a test compares.

Where a metric exists only once something has gone wrong, the query ends with `or vector(0)`: nothing seen is
zero seen. Nowhere else, so that a metric that vanished shows as a hole.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.panels import Dashboard, Panel, counted, dashboard_json, stat, times

FOLDER = Path(__file__).parent / "dashboards"
ACCOUNT = 'account="$account"'
PROBED = "bridge_stream_last_probe_timestamp_seconds"
HEARD = "bridge_stream_last_event_timestamp_seconds"
RECONNECTED = "bridge_listen_reconnects_total"


def overview() -> Dashboard:
    """Lay out what an operator looks at first."""
    now = (
        stat("Executors", 'sum(up{job="order_executor"})'),
        stat("Listeners", 'sum(up{job="fill_listener"})'),
        stat("Alerts firing", 'count(ALERTS{alertstate="firing"}) or vector(0)', bad=1),
        stat("Halts", "max(sum by (instance) (bridge_halted))", bad=1),
        stat("Unknown orders", 'max(bridge_queue_depth{state="unknown"})', bad=1),
        stat("Held orders", 'max(bridge_queue_depth{state="held"})', bad=1),
        stat("Open positions", "sum(max by (account, market) (bridge_positions_open)) or vector(0)"),
        stat("Real money", "max(bridge_live_trading)", about="1 when accounts with real money may trade."),
    )
    orders = (
        Panel(
            "Orders a minute",
            (
                (counted("orders_executed_total", trouble=True)[0], "accepted by the exchange"),
                (counted("orders_failed_total", trouble=True)[0], "rejected"),
                (counted("orders_held_total", trouble=True)[0], "held"),
            ),
        ),
        Panel("Orders by state", (("max by (state) (bridge_queue_depth)", "{{state}}"),)),
        Panel(
            "Oldest order by state",
            (('max by (state) (bridge_queue_oldest_seconds{state!~"submitted|held"})', "{{state}}"),),
            "s",
            "Time since the oldest entry entered the state. `submitted` may rest for days and is left out.",
        ),
        Panel(
            "Rejections a minute by reason",
            (counted("orders_failed_total", "market", "reason", trouble=True),),
        ),
        Panel(
            "Verdicts to wait a minute, by reason", (counted("orders_waiting_total", "reason", trouble=True),)
        ),
        Panel(
            "Attempts a minute by outcome",
            (counted("bridge_attempts_total", "market", "outcome", trouble=True),),
        ),
    )
    speed = (
        times("From the bot's commit to the exchange", "bridge_commit_to_send_seconds"),
        times("From the order's first byte to the answer", "bridge_send_to_ack_seconds"),
        times("From the exchange's event to the position", "bridge_event_to_position_seconds"),
    )
    exchange = (
        Panel(
            "Request weight used",
            (
                ("max by (market, environment) (bridge_weight_used)", "{{market}} {{environment}} used"),
                ("max by (market, environment) (bridge_weight_limit)", "{{market}} {{environment}} allowed"),
            ),
        ),
        Panel(
            "Order count used, share by account",
            (
                (
                    "max by (account, market, interval) (bridge_order_count_used / bridge_order_count_limit)",
                    "{{account}} {{market}} {{interval}}",
                ),
            ),
            "percentunit",
        ),
        Panel("Requests a minute by result", (counted("bridge_requests_total", "market", "result"),)),
        Panel("Pauses in force", (("max by (scope, reason) (bridge_paused)", "{{scope}} {{reason}}"),)),
        Panel("Bans", (("sum(increase(bridge_bans_total[$__rate_interval])) or vector(0)", "bans"),)),
        Panel(
            "Clock",
            (
                (
                    "max by (market, environment) (abs(bridge_clock_offset_seconds))",
                    "{{market}} {{environment}} offset",
                ),
                (
                    "max by (market, environment) (bridge_clock_error_seconds)",
                    "{{market}} {{environment}} error",
                ),
            ),
            "s",
            "Nothing is claimed while the error exceeds a quarter of recvWindow.",
        ),
    )
    streams = (
        Panel(
            "Streams up", (("sum by (market) (max by (account, market) (bridge_stream_up))", "{{market}}"),)
        ),
        Panel(
            "Time since the last proof of life",
            (
                (
                    f"max by (market) (time() - max by (account, market) ({PROBED}))",
                    "{{market}}",
                ),
            ),
            "s",
            "Of the account heard of longest ago. A connected socket proves nothing; the probe does.",
        ),
        Panel("Stream events a minute", (counted("bridge_stream_events_total", "market", "kind"),)),
        Panel(
            "Streams connected anew, a minute",
            (counted("bridge_stream_reconnects_total", "market", "reason", trouble=True),),
        ),
        Panel("Accounts followed", (("sum by (instance) (bridge_accounts_followed)", "{{instance}}"),)),
        Panel(
            "Refused keys", (("count(max by (account) (bridge_keys_refused) > 0) or vector(0)", "accounts"),)
        ),
    )
    books = (
        Panel(
            "Gaps",
            (
                ("sum(increase(bridge_gaps_found_total[$__rate_interval])) or vector(0)", "found"),
                (
                    "sum(increase(bridge_gaps_healed_total[$__rate_interval])) or vector(0)",
                    "healed by asking",
                ),
            ),
            about="Orders whose stored fills did not add up to what the exchange reported.",
        ),
        Panel(
            "Reconciliations a minute",
            (counted("bridge_reconciliations_total", "kind", "result", trouble=True),),
        ),
        Panel("Differences found", (counted("bridge_reconcile_differences_total", "kind", trouble=True),)),
        Panel(
            "One background round",
            (
                (
                    "max by (market, environment) (bridge_background_period_seconds)",
                    "{{market}}, {{environment}}",
                ),
            ),
            "s",
            about="How long comparing balances and closed orders takes until it has been round all accounts.",
        ),
        Panel(
            "Fills a minute",
            (
                (counted("bridge_fills_total", "market", "source")[0], "{{market}} by {{source}}"),
                (counted("bridge_fills_repeated_total", trouble=True)[0], "seen again"),
            ),
        ),
        Panel(
            "Questions about unknown orders, a minute",
            (counted("bridge_questions_total", "kind", "result", trouble=True),),
        ),
        Panel(
            "Orders we did not place, a minute",
            (counted("bridge_foreign_orders_total", "market", trouble=True),),
        ),
    )
    money = (
        Panel(
            "Unrealized profit and loss",
            (("sum by (market) (max by (account, market) (bridge_unrealized_pnl_usd))", "{{market}}"),),
            "currencyUSD",
        ),
        Panel(
            "Realized profit and loss",
            (("sum by (market) (max by (account, market) (bridge_realized_pnl_usd))", "{{market}}"),),
            "currencyUSD",
        ),
        Panel(
            "Exposure",
            (("sum by (market) (max by (account, market) (bridge_exposure_usd))", "{{market}}"),),
            "currencyUSD",
        ),
    )
    errors = (
        Panel(
            "Alarms",
            (counted("bridge_alarms_total", "kind", trouble=True),),
            about="Things that should never happen.",
        ),
        Panel(
            "Database errors a minute",
            (counted("bridge_database_errors_total", "job", "reason", trouble=True),),
        ),
        Panel(
            "Failed requests a minute",
            (counted("bridge_requests_total", "operation", "result", where='{result!="ok"}', trouble=True),),
        ),
        Panel(
            "Rows the bot's own executor took",
            (("sum(increase(bridge_bot_conflicts_total[$__rate_interval]))", "rows"),),
        ),
        Panel(
            "Late evidence",
            (("sum(increase(bridge_late_evidence_total[$__rate_interval])) or vector(0)", "orders"),),
            about="Orders found that had been settled as not existing.",
        ),
        Panel(
            "Memory",
            (('process_resident_memory_bytes{job=~"order_executor|fill_listener"}', "{{job}} {{instance}}"),),
            "bytes",
        ),
    )
    return Dashboard(
        "bridge-overview",
        "Bridge: overview",
        (
            ("Now", now),
            ("Orders", orders),
            ("Time", speed),
            ("What the exchange allows", exchange),
            ("Streams", streams),
            ("Reconciliation", books),
            ("Money", money),
            ("Errors", errors),
        ),
    )


def account() -> Dashboard:
    """Lay out what there is about one account."""
    stream, limits = f"{{{ACCOUNT}}}", "{{market}} {{interval}}"
    return Dashboard(
        "bridge-account",
        "Bridge: one account",
        (
            (
                "Stream",
                (
                    Panel("Stream up", ((f"max by (market) (bridge_stream_up{stream})", "{{market}}"),)),
                    Panel(
                        "Time since the last event",
                        (
                            (
                                f"time() - max by (market) ({HEARD}{stream})",
                                "{{market}}",
                            ),
                        ),
                        "s",
                        "An account that does not trade is silent; that is what the probe is for.",
                    ),
                    Panel(
                        "Time since the last answered probe",
                        (
                            (
                                f"time() - max by (market) ({PROBED}{stream})",
                                "{{market}}",
                            ),
                        ),
                        "s",
                    ),
                ),
            ),
            (
                "Limits",
                (
                    Panel(
                        "Orders the exchange counts",
                        (
                            (
                                f"max by (market, interval) (bridge_order_count_used{stream})",
                                limits + " used",
                            ),
                            (
                                f"max by (market, interval) (bridge_order_count_limit{stream})",
                                limits + " allowed",
                            ),
                        ),
                        width=16,
                    ),
                    Panel(
                        "Key refused",
                        ((f"max(bridge_keys_refused{stream}) or vector(0)", "refused"),),
                        about="1 from a refusal until the account's row changes.",
                    ),
                ),
            ),
            (
                "Money",
                (
                    Panel(
                        "Open positions",
                        ((f"max by (market) (bridge_positions_open{stream})", "{{market}}"),),
                        width=6,
                    ),
                    Panel(
                        "Exposure",
                        ((f"max by (market) (bridge_exposure_usd{stream})", "{{market}}"),),
                        "currencyUSD",
                        width=6,
                    ),
                    Panel(
                        "Unrealized profit and loss",
                        ((f"max by (market) (bridge_unrealized_pnl_usd{stream})", "{{market}}"),),
                        "currencyUSD",
                        width=6,
                    ),
                    Panel(
                        "Realized profit and loss",
                        ((f"max by (market) (bridge_realized_pnl_usd{stream})", "{{market}}"),),
                        "currencyUSD",
                        width=6,
                    ),
                ),
            ),
        ),
        by_account=True,
    )


def postgres() -> Dashboard:
    """Lay out the database as the bridge meets it."""
    return Dashboard(
        "bridge-postgres",
        "Bridge: Postgres",
        (
            (
                "Now",
                (
                    stat("Database up", "min(bridge_database_up)"),
                    stat("LISTEN up", "min(bridge_listen_up)"),
                    stat("Trigger errors", "max(bridge_trigger_errors)", bad=1),
                    stat("Schema warnings", "max(bridge_contract_warnings)", bad=1),
                    stat("Quarantine", "max(bridge_quarantine)", bad=1),
                    stat("Epoch changes", "sum(bridge_epoch_changes_total)", bad=1),
                    stat("Queue read", "time() - max(bridge_queue_read_timestamp_seconds)", unit="s", bad=60),
                    stat("Found by the sweep", "sum(bridge_sweep_found_total)", bad=1),
                ),
            ),
            (
                "Queue",
                (
                    Panel("Entries by state", (("max by (state) (bridge_queue_depth)", "{{state}}"),)),
                    Panel(
                        "Oldest entry by state",
                        (("max by (state) (bridge_queue_oldest_seconds)", "{{state}}"),),
                        "s",
                    ),
                    Panel(
                        "Orders between claim and answer",
                        (("sum by (instance) (bridge_send_slots_busy)", "{{instance}}"),),
                    ),
                ),
            ),
            (
                "Commits",
                (
                    times("Claim", "bridge_claim_seconds"),
                    times("Settle", "bridge_settle_seconds"),
                    times("Wake-up: from the bot's commit to our look", "bridge_wakeup_seconds"),
                ),
            ),
            (
                "LISTEN",
                (
                    Panel(
                        "Probe of LISTEN",
                        (("max by (instance) (bridge_listen_lag_seconds)", "{{instance}}"),),
                        "s",
                    ),
                    Panel(
                        "LISTEN connected anew",
                        (
                            (
                                f"sum by (instance) (increase({RECONNECTED}[$__rate_interval]))",
                                "{{instance}}",
                            ),
                        ),
                    ),
                    Panel(
                        "Rows found by the sweep",
                        (("sum(increase(bridge_sweep_found_total[$__rate_interval]))", "rows"),),
                        about="Rows that the trigger had not put into the outbox.",
                    ),
                ),
            ),
            (
                "Errors and history",
                (
                    Panel(
                        "Database errors a minute",
                        (counted("bridge_database_errors_total", "job", "reason", trouble=True),),
                        width=12,
                    ),
                ),
            ),
        ),
    )


def texts() -> dict[str, str]:
    """Return the files by name."""
    made = {"overview.json": overview(), "account.json": account(), "postgres.json": postgres()}
    return {
        name: json.dumps(dashboard_json(dashboard), indent=1, ensure_ascii=False) + "\n"
        for name, dashboard in made.items()
    }


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
