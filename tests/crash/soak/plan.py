"""How much a soak does of everything, on which times, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.crash.scale import Scale

SOAK = Scale(
    "soak",
    recv_window_ms=2000,
    engine_delay_s=1.0,
    query_lag_s=1.0,
    gap_wait_s=3.0,
    lease_s=3.0,
    sweep_s=1.0,
    answer_timeout_s=2.5,
)
ENVIRONMENT = {
    "BRIDGE_MAX_POSITION_USD": "100000000",
    "BRIDGE_MAX_EXPOSURE_USD": "100000000",
    "BRIDGE_MAX_ORDERS_PER_MINUTE": "100000",
    "BRIDGE_MAX_ORDER_AGE": "3600",
    "BRIDGE_MAX_KEY_BLOCK": "20",
    "BRIDGE_POOL_SIZE": "8",
    "BRIDGE_SEND_SLOTS": "32",
    "BRIDGE_LOG_LEVEL": "warning",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Args:
        orders: rows the bot inserts, on both markets.
        kills: kill -9 of an executor or listener.
        freezes: SIGSTOP of an executor, longer than lease and absence wait.
        restarts: of Postgres, in turn ordered, immediate and by kill -9.
        failovers: to an asynchronous standby that has not heard of the last commits.
        swings: of the futures market, up, down and back, over every stop that waits.
        least_faults: of the exchange, that have to have happened.
        accounts: that trade.
        executors: that run at once.
        listeners: that run at once.
        seed: of everything drawn here.

    """

    orders: int = 10_000
    kills: int = 110
    freezes: int = 15
    restarts: int = 10
    failovers: int = 2
    swings: int = 20
    least_faults: int = 500
    accounts: int = 20
    executors: int = 3
    listeners: int = 2
    seed: int = 7

    def schedule(self) -> list[tuple[int, str]]:
        """Spread what is done to the processes, to Postgres and to the market evenly over the orders."""
        disturbances = {
            "kill": self.kills,
            "freeze": self.freezes,
            "restart": self.restarts,
            "failover": self.failovers,
            "swing": self.swings,
        }
        return sorted(
            (round(self.orders * (number + 0.5) / count), what)
            for what, count in disturbances.items()
            for number in range(count)
        )


@dataclass(slots=True)
class Result:
    """What the run did and what it found."""

    orders: int = 0
    futures: int = 0
    conditional: int = 0
    triggered: int = 0
    faults: int = 0
    kills: int = 0
    freezes: int = 0
    postgres_restarts: int = 0
    failovers: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    flagged: int = 0
    seconds: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether both sides agree on everything."""
        return not (self.lost or self.doubled or self.wrong)

    def complain(self, verdict: str, sentence: str) -> None:
        """Count what is not as it should be."""
        setattr(self, verdict, getattr(self, verdict) + 1)
        self.complaints.append(f"{verdict}: {sentence}")


def enough(plan: Plan, result: Result) -> bool:
    """Whether the run did what its plan says, a share of it on futures."""
    return (
        result.orders >= plan.orders
        and result.futures >= plan.orders / 5
        and result.conditional >= plan.orders / 25
        and result.triggered > 0
        and result.faults >= plan.least_faults
        and result.kills >= plan.kills
        and result.postgres_restarts >= plan.restarts
        and result.failovers >= plan.failovers
    )
