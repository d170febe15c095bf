"""What is run: the configurations of the protocol as it is, and the mutations that must each break a claim."""

from dataclasses import dataclass, replace
from typing import Final

from docs.model import claims
from docs.model.rules import Rules, Setting

PROTOCOL: Final = Rules()


@dataclass(frozen=True, slots=True)
class Mutation:
    """A protocol without one of its rules, and a configuration small enough to show what that costs."""

    name: str
    section: str
    rules: Rules
    setting: Setting
    shows: frozenset[str] = claims.CONSEQUENCES
    """The claims of which it has to break one."""


PLAIN: Final = Setting("plain", numbers=2, cancels=False)
CANCELS: Final = Setting("cancels", numbers=2)
PEEKS: Final = Setting("peek and claim apart", numbers=2, peeks=True)
FAILOVER: Final = Setting("failover", numbers=2, cancels=False, failovers=1)
RESTS: Final = Setting("resting orders, DELETE", numbers=2, rests=True)
REPEATS: Final = Setting(
    "resting orders, a proxy repeats the POST", numbers=2, cancels=False, rests=True, proxy_repeats=True
)
FAST: Final = replace(FAILOVER, name="failover, no delays", clock_error=0, engine_delay=0, query_lag=0)

CONFIGURATIONS: Final = (PLAIN, CANCELS, PEEKS, FAILOVER, RESTS, REPEATS)
QUICK: Final = CONFIGURATIONS


def _without(name: str, section: str, setting: Setting, *rules: str) -> Mutation:
    return Mutation(
        name, section, replace(PROTOCOL, **dict.fromkeys(rules, False)), replace(setting, sorts_workers=False)
    )


# The first thirteen are those PROTOCOL 13 names, the fourteenth is its optional one, the others are rules of our own finding.
MUTATIONS: Final = (
    _without("sign at send", "4", PLAIN, "signs_at_claim"),
    _without("no wait before asking", "7", PLAIN, "waits_before_absence"),
    _without("one early -2013 suffices", "7", PLAIN, "early_no_is_no_absence"),
    _without("failed query counts as absence", "7", PLAIN, "failed_question_is_no_absence"),
    _without("lease expiry means resend", "7", PLAIN, "lease_expiry_is_unknown"),
    _without("settle without token and state", "6", PLAIN, "settle_checks_token_and_state"),
    _without("HTTP layer re-sends once", "4", PLAIN, "sends_once"),
    _without("attempt row after the POST", "3", PLAIN, "attempt_before_post"),
    _without("claim without re-checking the row", "3", PEEKS, "claim_rechecks_row"),
    _without("retry ignores a cancel", "3", CANCELS, "retry_respects_cancel"),
    _without("sequential tokens", "3", FAST, "random_tokens"),
    _without("random ids", "3", FAILOVER, "computable_ids"),
    _without("no quarantine", "10", FAILOVER, "quarantine"),
    _without("duplicate id taken as rejected", "5", REPEATS, "duplicate_is_unknown"),
    _without("claim compares the status only", "3", PEEKS, "claim_compares_version"),
    _without("waits by its own clock", "7", PLAIN, "asks_by_server_time"),
    _without("engine delay not waited for", "7", PLAIN, "waits_for_engine"),
    _without("query lag not waited for", "7", PLAIN, "waits_for_lag"),
    _without("DELETE only once", "9", RESTS, "delete_repeated"),
    _without("epoch not compared", "10", FAILOVER, "epoch_compared"),
    _without("quarantine without the clock error", "10", FAILOVER, "quarantine_counts_clock_error"),
    _without("no questions after the quarantine", "10", FAILOVER, "asks_after_quarantine"),
    _without("asks for the next id only", "10", FAILOVER, "asks_all_ids"),
    _without(
        "ends before all ids were asked", "10", replace(FAILOVER, cancels=True), "final_waits_for_round"
    ),
)
