"""What is run: configurations of the protocol as it is, and the mutations that must each break a claim."""

from dataclasses import dataclass, replace
from typing import Final

from docs.model import claims
from docs.model.rules import Rules, Setting

PROTOCOL: Final = Rules()


@dataclass(frozen=True, slots=True)
class Mutation:
    """The protocol without one of its rules, in a world just large enough to show what that costs."""

    name: str
    section: str
    rules: Rules
    setting: Setting
    shows: frozenset[str]
    """The claims of which it must break one."""


# Small worlds: each mutation runs in one of them, and the protocol as it is holds in all. Two
# workers, which may die or freeze anywhere, lost messages, late arrivals, clock error and lag.
PLAIN: Final = Setting("kill, freeze, loss, lag", cancels=False)
CANCELS: Final = Setting("+ the bot cancels")
PEEKS: Final = Setting("+ peek apart from claim, the bot edits", peeks=True)
RESTS: Final = Setting("+ resting orders and DELETE", rests=True)
REPEATS: Final = Setting("resting orders, a proxy repeats", cancels=False, rests=True, proxy_repeats=True)
FAILOVER: Final = Setting("failover", cancels=False, failovers=1)
INSTANT: Final = Setting(
    "failover, everything instant",
    cancels=False,
    failovers=1,
    window=0,
    clock_error=0,
    engine_delay=0,
    query_lag=0,
    lease=0,
)
CANCELS_FAILOVER: Final = Setting("failover, cancel", failovers=1)
PEEKS_FAILOVER: Final = Setting("failover, peek apart from claim", cancels=False, failovers=1, peeks=True)
SNAPSHOT: Final = Setting("failover or snapshot put back", cancels=False, failovers=1, restores=True)
SMALL: Final = (
    PLAIN,
    CANCELS,
    PEEKS,
    RESTS,
    REPEATS,
    FAILOVER,
    INSTANT,
    CANCELS_FAILOVER,
    PEEKS_FAILOVER,
    SNAPSHOT,
)

# Large worlds: what the small ones leave out. Those without reductions show that the reductions hide nothing.
LARGE: Final = (
    Setting("3 workers, 3 attempts, peek apart from claim", workers=3, numbers=3, counted=3, peeks=True),
    Setting("3 workers, old tokens kept", workers=3, drops_dead=False),
    Setting("3 attempts, no reduction at all", numbers=3, sorts_workers=False, drops_dead=False),
    Setting(
        "9 attempts, 3 counted, long times",
        numbers=9,
        counted=3,
        window=3,
        engine_delay=4,
        query_lag=3,
        lease=2,
    ),
    Setting("failover, old tokens kept", failovers=1, drops_dead=False),
    Setting(
        "failover, 3 workers, 3 attempts, peek", workers=3, numbers=3, failovers=1, cancels=False, peeks=True
    ),
    Setting("failover or snapshot, 3 attempts, DELETE", numbers=3, failovers=1, restores=True, rests=True),
    Setting("2 failovers, 3 attempts", numbers=3, failovers=2),
    Setting("2 failovers, long times", failovers=2, window=2, engine_delay=2, query_lag=2, lease=2),
)
CONFIGURATIONS: Final = SMALL + LARGE

ANY: Final = claims.CONSEQUENCES
TWO: Final = frozenset({claims.TWO_ORDERS})


def _without(name: str, section: str, rule: str, setting: Setting, shows: frozenset[str] = TWO) -> Mutation:
    # Workers keep their places, so that a trace calls each one by the same name throughout.
    return Mutation(
        name, section, replace(PROTOCOL, **{rule: False}), replace(setting, sorts_workers=False), shows
    )


# Those PROTOCOL 13 names come first, in its order; the others take a rule apart, or are of our own finding.
MUTATIONS: Final = (
    _without("sign at send", "4", "signs_at_claim", PLAIN),
    _without("no wait before asking", "7", "waits_before_absence", PLAIN),
    _without("one early -2013 suffices", "7", "early_no_is_no_absence", PLAIN),
    _without("failed query counts as absence", "7", "failed_question_is_no_absence", PLAIN),
    _without("lease expiry means resend", "7", "lease_expiry_is_unknown", PLAIN),
    _without("settle without token and state", "6", "settle_checks_owner", PLAIN, ANY),
    _without("HTTP layer re-sends once", "4", "sends_once", PLAIN),
    _without("attempt row after the POST", "3", "attempt_before_post", PLAIN),
    _without("claim without re-checking the row", "3", "claim_rechecks_row", PEEKS, ANY),
    _without("retry ignores a cancel", "3", "retry_respects_cancel", CANCELS, ANY),
    _without("sequential tokens", "3", "random_tokens", INSTANT),
    _without("random ids", "3", "computable_ids", FAILOVER),
    _without("no quarantine", "10", "quarantine", FAILOVER),
    _without("duplicate id taken as rejected", "5", "duplicate_is_unknown", REPEATS, ANY),
    _without("claim compares the status only", "3", "claim_compares_version", PEEKS, ANY),
    _without("claim trusts a peek of the epoch before", "10", "claim_compares_epoch", PEEKS_FAILOVER, ANY),
    _without("no answer taken as not sent", "5", "silence_is_unknown", PLAIN),
    _without("cancel ends an unknown row", "9", "cancel_waits_for_proof", CANCELS, ANY),
    _without("absence by our own clock", "7", "asks_by_server_time", PLAIN),
    _without("absence without the engine delay", "7", "waits_for_engine", PLAIN),
    _without("absence without the query lag", "7", "waits_for_lag", PLAIN),
    _without("DELETE only once", "9", "delete_repeated", RESTS, ANY),
    _without("epoch not compared", "10", "epoch_compared", FAILOVER),
    _without("snapshot put back without the runbook", "10", "runbook", SNAPSHOT),
    _without("quarantine without the clock error", "10", "quarantine_counts_clock_error", FAILOVER),
    _without("no questions after the quarantine", "10", "asks_after_quarantine", FAILOVER),
    _without("asks for the next id only", "10", "asks_all_ids", FAILOVER),
    _without("ends before all ids were asked", "10", "end_waits_for_round", CANCELS_FAILOVER, ANY),
)
