"""The rules a mutation can drop, and the size of the world one configuration explores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of PROTOCOL that the model holds. True is the protocol; a mutation turns one off."""

    claim_rechecks_row: bool = True
    """3: the claim's UPDATE has WHERE status = what was peeked, and only what it returned gets an attempt."""
    claim_compares_version: bool = True
    """3: ... and the row unchanged since the peek (xmin, ctid)."""
    retry_respects_cancel: bool = True
    """3: a retry is claimed only while the row's status is still what we wrote."""
    attempt_before_post: bool = True
    """3: the attempt is durable before the first byte."""
    computable_ids: bool = True
    """3: the client order id is a pure function of row and number."""
    random_tokens: bool = True
    """3: a token is random, so that a failover cannot issue one again."""
    signs_at_claim: bool = True
    """4: the request carries the timestamp stored at the claim."""
    sends_once: bool = True
    """4: no layer below re-sends."""
    duplicate_is_unknown: bool = True
    """5: a duplicate client order id is asked about."""
    settle_checks_token_and_state: bool = True
    """6: not_sent, absent and rejected need token, number, a non-final state and the epoch."""
    lease_expiry_is_unknown: bool = True
    """7: a worker whose lease ran out may have sent."""
    waits_before_absence: bool = True
    """7: the deciding questions are sent after serverTime > D + engine_delay + query_lag."""
    early_no_is_no_absence: bool = True
    """7: an early "does not exist" decides nothing."""
    failed_question_is_no_absence: bool = True
    """7: each question must be answered."""
    asks_by_server_time: bool = True
    """7: ... by the exchange's clock, so that the error of ours does not count."""
    waits_for_engine: bool = True
    """7: ... the engine's delay included."""
    waits_for_lag: bool = True
    """7: ... the lag of the queries included."""
    delete_repeated: bool = True
    """9: DELETE is repeated after D."""
    epoch_compared: bool = True
    """10: an epoch change is noticed before anything else is decided."""
    in_flight_becomes_unknown: bool = True
    """10: what was in flight when the epoch changed is unknown, whatever the lease says."""
    quarantine: bool = True
    """10: nothing is claimed or made final until recvWindow + clock error + engine_delay + query_lag have passed."""
    quarantine_counts_clock_error: bool = True
    """10: ... the clock error included."""
    asks_after_quarantine: bool = True
    """10: after it one round of questions comes before any claim."""
    asks_all_ids: bool = True
    """10: ... for every id the row can have, not just the next one."""
    final_waits_for_round: bool = True
    """10: ... and before anything is made final without positive evidence."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What one configuration contains. Times are ticks."""

    name: str
    workers: int = 2
    numbers: int = 3
    """Attempt numbers there are (9 in the bridge)."""
    counted: int = 2
    """Attempts judged absent before the row is rejected (3 in the bridge)."""
    window: int = 1
    """recvWindow."""
    clock_error: int = 1
    """The signing clock is this much ahead of the exchange's, or behind it, at most."""
    engine_delay: int = 1
    query_lag: int = 1
    lease: int = 1
    failovers: int = 0
    cancels: bool = True
    """The bot may cancel the row at any time."""
    peeks: bool = False
    """The peek and the claim are two steps, and the bot may edit the row between them."""
    rests: bool = False
    """An accepted order rests until it fills or a DELETE takes it off the book."""
    proxy_repeats: bool = False
    """A proxy may repeat the POST of an order that rests already, and pass on "duplicate" as the answer."""
    sorts_workers: bool = True
    """Workers are interchangeable: states that differ by their order are one."""
    drops_dead: bool = True
    """A worker that can only be refused is idle (see README.md, reductions)."""

    @property
    def absence_wait(self) -> int:
        """Ticks after D until an absence may be asked for: engine_delay + query_lag, and strictly after."""
        return self.engine_delay + self.query_lag + 1

    @property
    def clock_errors(self) -> range:
        """Every error the signing clock can have."""
        return range(-self.clock_error, self.clock_error + 1)
