"""The times of a crash run: scaled down, so that hundreds of cells fit into minutes, or real."""

from __future__ import annotations

from dataclasses import dataclass

RATE_LIMIT_SCALE = 1000
"""What the exchange allows is raised so far, and with it the share of it that a listener takes."""


@dataclass(frozen=True, slots=True)
class Scale:
    """PROTOCOL's waits for one run; the defaults are the real ones.

    Args:
        name: shown with the results.
        recv_window_ms: how long a signed order may enter the exchange.
        engine_delay_s: longest time inside the exchange's engine.
        query_lag_s: longest lag of the exchange's queries.
        gap_wait_s: wait before an absence is believed without a verified stream.
        lease_s: of a claimed order.
        sweep_s: between two looks for what no notification announced.
        answer_timeout_s: after it the transport gives an answer up.

    """

    name: str
    recv_window_ms: int = 5000
    engine_delay_s: float = 10.0
    query_lag_s: float = 50.0
    gap_wait_s: float = 300.0
    lease_s: float = 30.0
    sweep_s: float = 5.0
    answer_timeout_s: float = 15.0

    def environment(self) -> dict[str, str]:
        """Return the variables that set these times."""
        return {
            "BRIDGE_RECV_WINDOW_MS": str(self.recv_window_ms),
            "BRIDGE_ENGINE_DELAY": str(self.engine_delay_s),
            "BRIDGE_QUERY_LAG": str(self.query_lag_s),
            "BRIDGE_GAP_WAIT": str(self.gap_wait_s),
            "BRIDGE_LEASE": str(self.lease_s),
            "BRIDGE_SWEEP_INTERVAL": str(self.sweep_s),
        }

    @property
    def absence_s(self) -> float:
        """Seconds from signing until an absence can be judged without a stream."""
        wait = max(self.gap_wait_s, self.engine_delay_s + self.query_lag_s)
        return self.recv_window_ms / 1000 + wait

    @property
    def conditional_s(self) -> float:
        """Seconds that the wait for a conditional order is longer: its margins are doubled."""
        return max(self.gap_wait_s, self.engine_delay_s + self.query_lag_s)

    @property
    def freeze_s(self) -> float:
        """Longer than lease and absence wait together: others have judged the frozen worker's order."""
        return self.lease_s + self.absence_s + 2 * self.sweep_s


REAL = Scale("real")
SCALED = Scale(
    "scaled",
    recv_window_ms=500,
    engine_delay_s=0.25,
    query_lag_s=0.25,
    gap_wait_s=1.0,
    lease_s=1.0,
    sweep_s=0.3,
    answer_timeout_s=1.5,
)
# Absences are judged so late, and an order shows so late, that whoever does not wait has asked and sent again
# many seconds before it could be seen, on any machine.
SLOW = Scale(
    "slow",
    recv_window_ms=4000,
    engine_delay_s=0.25,
    query_lag_s=0.25,
    gap_wait_s=15.0,
    lease_s=4.5,
    sweep_s=0.3,
    answer_timeout_s=5.0,
)
# A failover takes a second or two here, and the quarantine has to be longer than that.
FAILOVER = Scale(
    "failover",
    recv_window_ms=2000,
    engine_delay_s=0.5,
    query_lag_s=0.5,
    gap_wait_s=1.0,
    lease_s=2.5,
    sweep_s=0.3,
    answer_timeout_s=3.0,
)
# An order shows so late that whoever skips the quarantine has long sent it again, even if he looked first
# when he did not know the symbols yet, and then again with the next sweep.
SLOW_FAILOVER = Scale(
    "slow failover",
    recv_window_ms=4000,
    engine_delay_s=0.5,
    query_lag_s=12.0,
    gap_wait_s=13.0,
    lease_s=4.5,
    sweep_s=0.3,
    answer_timeout_s=5.0,
)
