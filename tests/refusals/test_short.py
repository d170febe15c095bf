"""Every code is named by a test, and the proof goes red for a code that lacks something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.domain import verdicts
from shared.domain.verdicts import REFUSALS, Code
from tests.refusals.prove import Listener, chosen_tests, lines, named_codes, naming_tests

if TYPE_CHECKING:
    from shared.domain.verdicts import Refusal

MODULE = """
BAD = {Code.TWIN: 1}
MORE = [*BAD, Code.DUST]

def helper(): Code.HALTED

@pytest.mark.parametrize("code", MORE)
def test_table(code): pass

class Group:
    async def test_one(self): assert x is Code.BANNED
"""


def test_every_code_is_named_by_a_test() -> None:
    """The whole proof then runs these tests and hears who says what."""
    assert set().union(*naming_tests().values()) == {str(code) for code in Code}


def test_codes_are_found_where_a_test_names_them() -> None:
    """In its body, its decorators and the constants these use; not elsewhere in the module."""
    assert named_codes(MODULE) == {"test_table": {"twin", "dust"}, "test_one": {"banned"}}


def test_a_test_counts_if_it_names_what_was_said_and_passed() -> None:
    """Naming without saying, saying without naming, and failing each prove nothing."""
    heard = Listener()
    heard.said |= {"a::x[1]": {"twin", "dust"}, "a::y": {"halted"}, "a::z": {"paused"}}
    heard.passed |= {"a::x[1]", "a::y", "a::z"}
    heard.failed |= {"a::y"}
    named = {"a::x": {"twin", "banned"}, "a::y": {"halted"}}
    assert chosen_tests(named, heard) == {"twin": "a::x[1]"}


def test_whole_lines() -> None:
    """With a test each, nothing is missing."""
    assert [line for line in lines({str(code): "a test" for code in Code}) if line.missing] == []


@pytest.mark.parametrize("lost", ["sentence", "metric", "test"])
def test_what_is_missing_is_said(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code without a line in the table, without a counter or without a test."""
    tests = {str(code): "a test" for code in Code}
    if lost == "sentence":
        rest: dict[Code, Refusal] = {code: line for code, line in REFUSALS.items() if code is not Code.TWIN}
        monkeypatch.setattr("tests.refusals.prove.REFUSALS", rest)
    elif lost == "metric":
        held = verdicts.VerdictKind.HELD
        monkeypatch.setitem(verdicts._METRICS, held, "orders_forgotten_total")
    else:
        del tests["twin"]
    (line,) = [line for line in lines(tests) if line.code == "twin"]
    assert lost in line.missing
