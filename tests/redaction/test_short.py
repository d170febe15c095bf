"""Nothing of any secret is seen in what a short run of real processes emits; and the search does find."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from tests.redaction.prove import judge, tell_short
from tests.redaction.search import PART, Search
from tests.redaction.story import random_text, telling

SECRET = "NhqPtmdSJYdKjVHjA7PZ/j4Mge3R5YNiP1e3+UZjInClVN65XAbvqqM6A7H5fATj0j"


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        SECRET[20 : 20 + PART],
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        *(base64.b64encode(b"x" * before + SECRET.encode()).decode() for before in range(3)),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        json.dumps({"error": f"cannot sign with {SECRET}"}),
    ],
)
def test_the_search_finds_every_form(shown: str) -> None:
    """Whole or in part, in the middle of other text."""
    search = Search()
    search.add("it", SECRET)
    assert search.leaks("a log", f"before {shown} after")
    assert search.bytes_searched == len(shown) + 13


def test_the_search_finds_nothing_where_nothing_is() -> None:
    """Eleven characters are no part, other random text is no secret."""
    search = Search()
    search.add("it", SECRET)
    assert search.leaks("a log", f"{SECRET[:11]} {random_text(5000)} {SECRET[30:41]}") == []


@pytest.mark.whole  # a dozen processes one after the other: too long for the quick tests on a busy machine
@pytest.mark.timeout(400)
def test_a_short_run_leaks_nothing() -> None:
    """Trading, a refused key, echoes, a crash, the operator's verbs; a run without redaction is noticed."""
    with telling() as story:
        report = judge(story, tell_short(story))
    assert report["found"] == []
    assert report["silent"] == []
    assert all(report["redacted"].values())
    assert report["seen_without_redaction"] > 0
