"""The short version of the soak of fills; `make soak-fills` runs it whole."""

from __future__ import annotations

import pytest

from tests.soak.fills import Soak


@pytest.mark.timeout(300)  # starts seven processes one after the other
def test_fills_equal_the_exchanges_ledger_after_lost_events_and_killed_listeners() -> None:
    """Nothing lost, doubled or wrong, although events, answers, streams, listeners and Postgres were lost."""
    result = Soak(fills=150, listener_kills=2, postgres_restarts=1, accounts=4, seed=11).run()
    assert result.clean, result.complaints
    assert result.fills >= 150
    assert result.events_lost
    assert result.answers_lost
    assert result.postgres_restarts == 1
