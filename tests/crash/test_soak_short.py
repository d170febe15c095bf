"""The short version of the soak; `make soak` runs it whole."""

from __future__ import annotations

import pytest

from tests.crash.soak import Plan, Soak, enough

SHORT = Plan(
    orders=300,
    kills=4,
    freezes=1,
    restarts=2,
    failovers=1,
    least_faults=20,
    accounts=6,
    executors=2,
    listeners=1,
)


@pytest.mark.timeout(400)
def test_nothing_is_lost_doubled_or_wrong() -> None:
    """Some hundred orders through faults, kills, a freeze, restarts and a failover: both sides agree."""
    result = Soak(SHORT).run()
    assert result.clean, "\n".join(result.complaints)
    assert enough(SHORT, result), result
