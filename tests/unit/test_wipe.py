"""DESIGN 6: a testnet was wiped when the oldest orders are missing and whatever is there is newer."""

from __future__ import annotations

import pytest

from shared.domain.wipe import was_wiped


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([], None),
        ([True], False),
        ([True, True, False], False),
        ([False], None),
        ([False, True, True], None),
        ([False, False], True),
        ([False, False, False, True, True], True),
        ([False, False, True, False], None),
    ],
)
def test_the_oldest_tell(found: list[bool], verdict: bool | None) -> None:
    """One that is missing proves nothing; trading that went on hides no wipe."""
    assert was_wiped(found) is verdict
