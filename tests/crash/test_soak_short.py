"""The short version of the soak; `make soak` runs it whole."""

from __future__ import annotations

import pytest

from tests.crash.soak.plan import Plan, enough
from tests.crash.soak.run import Soak

SHORT = Plan(
    orders=300,
    kills=4,
    freezes=1,
    restarts=2,
    failovers=1,
    swings=3,
    least_faults=20,
    accounts=6,
    executors=2,
    listeners=1,
)


@pytest.mark.timeout(400)
def test_nothing_is_lost_doubled_or_wrong() -> None:
    """Hundreds of orders of both markets, faults, kills, a freeze, restarts, a failover: both sides agree."""
    result = Soak(SHORT).run()
    assert result.clean, "\n".join(result.complaints)
    assert enough(SHORT, result), result
