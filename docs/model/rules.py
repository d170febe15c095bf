"""The rules a mutation can drop, and the size of the world that one configuration explores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of PROTOCOL, by section. True is the protocol; a mutation turns one off."""

    claim_rechecks_row: bool = True
    """3: the claim's UPDATE finds only a row whose status is what was peeked."""
    claim_compares_version: bool = True
    """3: ... and that is unchanged since the peek (xmin, ctid)."""
    claim_compares_epoch: bool = True
    """10: ... in the epoch of the peek: a failover issues transaction ids again."""
    retry_respects_cancel: bool = True
    """3: a retry is claimed only while the row's status is still what we wrote."""
    attempt_before_post: bool = True
    """3: the attempt is durable before the first byte."""
    computable_ids: bool = True
    """3: the client order id is a pure function of row and number."""
    random_tokens: bool = True
    """3: a token is random, so that a failover cannot issue it again."""
    signs_at_claim: bool = True
    """4: the request carries the timestamp stored at the claim."""
    sends_once: bool = True
    """4: no layer below re-sends."""
    duplicate_is_unknown: bool = True
    """5: "duplicate client order id" is asked about."""
    silence_is_unknown: bool = True
    """5: not_sent needs the transport's word that zero bytes were written; no answer is no such word."""
    settle_checks_owner: bool = True
    """6: not_sent, absent and rejected need token, number, a non-final state and the epoch."""
    lease_expiry_is_unknown: bool = True
    """7: a worker whose lease ran out may have sent."""
    waits_before_absence: bool = True
    """7: the deciding questions are sent once serverTime > D + engine_delay + query_lag."""
    early_no_is_no_absence: bool = True
    """7: an early "does not exist" decides nothing."""
    failed_question_is_no_absence: bool = True
    """7: each question must be answered."""
    asks_by_server_time: bool = True
    """7: the moment is read off the exchange's clock, so that the error of ours does not count."""
    waits_for_engine: bool = True
    """7: the moment includes the engine's delay."""
    waits_for_lag: bool = True
    """7: the moment includes the lag of the queries."""
    cancel_waits_for_proof: bool = True
    """9: a cancelled row ends only when its last attempt is proven not sent."""
    delete_repeated: bool = True
    """9: DELETE is repeated after D."""
    epoch_compared: bool = True
    """10: an epoch change is noticed before anything else is decided."""
    runbook: bool = True
    """10: to put a snapshot back, all executors stop for the quarantine, and the epoch is bumped."""
    quarantine: bool = True
    """10: for recvWindow + clock error + engine_delay + query_lag nothing is claimed or ended."""
    quarantine_counts_clock_error: bool = True
    """10: the quarantine includes the clock error."""
    asks_after_quarantine: bool = True
    """10: after it, one round of questions comes before any claim."""
    asks_all_ids: bool = True
    """10: that round asks for every id the row can have."""
    end_waits_for_round: bool = True
    """10: and it comes before any end without an order, too."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one configuration contains. Times are ticks."""

    name: str
    workers: int = 2
    numbers: int = 2
    """Attempt numbers there are (9 in the bridge)."""
    counted: int = 2
    """Attempts judged absent after which the row is rejected (3 in the bridge)."""
    window: int = 1
    """recvWindow."""
    clock_error: int = 1
    """How far the signing clock may be ahead of the exchange's, or behind it."""
    engine_delay: int = 1
    query_lag: int = 1
    lease: int = 1
    failovers: int = 0
    """Losses of the primary; each may lose any number of the last commits, or none."""
    restores: bool = False
    """Such a loss may also be a snapshot put back, which changes no timeline."""
    cancels: bool = True
    """The bot may cancel the row at any time."""
    peeks: bool = False
    """The peek and the claim are two steps, and the bot may edit the row between them."""
    rests: bool = False
    """An accepted order rests until it fills or a DELETE takes it off the book."""
    proxy_repeats: bool = False
    """A proxy may repeat the POST of an order that rests already, and pass on "duplicate" as the answer."""
    sorts_workers: bool = True
    """Reduction: workers are interchangeable, so their order does not count."""
    drops_dead: bool = True
    """Reduction: a worker whose every further step would be refused is idle."""
