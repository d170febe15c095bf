"""The classification table as data (PROTOCOL 5): complete against the exchange's list, safe as a whole."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shared.binance.failures import Reason
from shared.domain.answers import CANCEL, FAILURES, PLACE, QUERY, ROWS
from shared.domain.answers_row import Place, Row, Table
from shared.domain.order import Market
from shared.domain.states import AttemptOutcome
from tests.originals import names, original

CODES = json.loads(
    (Path(__file__).resolve().parents[2] / "shared/domain/exchange_codes.json").read_text(encoding="utf-8")
)
LISTED = [(market, int(code)) for market in Market for code in CODES[market]["codes"]]
STATUS_OF = {-1003: 429, -1015: 429, -5000: 404, 0: 451}


def spoken(market: Market, code: int) -> list[str]:
    """All texts the exchange documents for a code."""
    texts = list(CODES[market]["codes"][str(code)]["messages"])
    if market is Market.SPOT and code in CODES["spot"]["engine_message_codes"]:
        texts += CODES["spot"]["engine_messages"]
    return texts


def filled_in(text: str) -> str:
    """A documented text with something in its gaps."""
    for gap in ("%s", "%d", "%b"):
        text = text.replace(gap, "TEN_SECONDS 7")
    return text


def test_the_list_of_codes_is_the_exchanges() -> None:
    """The list holds as many codes as the exchange documents, so that an emptied file cannot pass."""
    assert Counter(market for market, _ in LISTED) == {Market.SPOT: 109, Market.FUTURES: 210}
    assert len(CODES["spot"]["engine_messages"]) == 43


@pytest.mark.parametrize(("market", "code"), LISTED)
def test_every_code_has_a_row(market: Market, code: int) -> None:
    """A code of the exchange's list that no row names is a hole in the table."""
    assert any(row.market is market and row.code == code for row in ROWS)


@pytest.mark.parametrize(("market", "code"), LISTED)
def test_every_documented_message_finds_a_row_of_its_code(market: Market, code: int) -> None:
    """Under its status, each documented text of a code is decided by the code, never by the fallback."""
    for text in spoken(market, code) or [""]:
        row = PLACE.find(market, STATUS_OF.get(code, 400), code, filled_in(text))
        assert row is not None
        assert row.code == code, text
        assert row.reason != "unlisted_message" or code in (-1010, -2010)


@pytest.mark.parametrize("text", CODES["spot"]["engine_messages"])
@pytest.mark.parametrize("code", CODES["spot"]["engine_message_codes"])
def test_every_message_of_the_matching_engine_has_a_row(code: int, text: str) -> None:
    """-1010 and -2010 are overloaded: each of their texts is a row of its own."""
    row = PLACE.find(Market.SPOT, 400, code, text)
    assert row is not None
    assert row.message == text


def test_no_row_names_a_code_that_is_not_listed() -> None:
    """The table and the list are the same codes, so a typing error in either shows."""
    assert {(row.market, row.code) for row in ROWS if row.code is not None} == set(LISTED)


@pytest.mark.parametrize("market", Market)
def test_statuses_that_decide_alone_are_never_overruled(market: Market) -> None:
    """403, 418, 429 are not_sent whatever the body; a 5xx is unknown, with the one exception there is."""
    for status in range(100, 600):
        rows = [row for row in ROWS if row.market is market and status in row.statuses]
        outcomes = {row.outcome for row in rows}
        if status in (403, 418, 429):
            assert outcomes == {AttemptOutcome.NOT_SENT}
        elif status >= 500:
            others = {row.message for row in rows if row.outcome is not AttemptOutcome.UNKNOWN}
            exception = (market, status) == (Market.FUTURES, 503)
            assert others == ({"Service Unavailable."} if exception else set())
        elif status in (408, 409) or status < 400:
            assert outcomes <= {AttemptOutcome.UNKNOWN}


def test_nothing_is_refused_without_a_code() -> None:
    """`rejected` needs a code of the exchange; `accepted` needs the order itself and is in no row."""
    for row in ROWS:
        assert row.outcome is not AttemptOutcome.ACCEPTED
        assert row.outcome is not AttemptOutcome.ABSENT
        if row.outcome is AttemptOutcome.REJECTED:
            assert row.code is not None


def test_only_the_named_answers_prove_that_nothing_was_sent() -> None:
    """The list of answers that prove refusal before the engine is short and closed."""
    assert {
        (row.market, row.statuses, row.code, row.message)
        for row in ROWS
        if row.outcome is AttemptOutcome.NOT_SENT
    } == {
        *((market, (403,), None, None) for market in Market),
        *((market, (418,), None, None) for market in Market),
        *((market, (429,), None, None) for market in Market),
        *((market, (429,), -1003, None) for market in Market),
        *((market, (400, 429), -1015, None) for market in Market),
        *((market, (400,), -1021, None) for market in Market),
        (Market.FUTURES, (400,), -5028, None),
        (Market.FUTURES, (503,), None, "Service Unavailable."),
    }


def test_a_refused_key_pauses_its_account_and_nothing_else_does() -> None:
    """-2014, -2015 and -1022 reject the row and pause the key; no other refusal does."""
    keys = {(row.market, row.code) for row in ROWS if row.pause == "key"}
    assert keys == {(market, code) for market in Market for code in (-2014, -2015, -1022)}
    assert all(row.outcome is AttemptOutcome.REJECTED for row in ROWS if row.pause == "key")


ALL_ROWS: list[Row[Any]] = [*PLACE.rows, *QUERY.rows, *CANCEL.rows]


@pytest.mark.parametrize("row", ALL_ROWS, ids=lambda r: f"{r.market}-{r.statuses[0]}-{r.code}-{r.reason}")
def test_every_row_has_its_source_and_a_sentence_for_people(row: Row[Any]) -> None:
    """A row names where it comes from and says a whole sentence; a pause of an address or account ends."""
    assert row.source
    assert row.sentence[0].isupper()
    assert row.sentence.endswith(".")
    assert "  " not in row.sentence
    assert row.reason == row.reason.lower().replace(" ", "_")
    if row.pause in ("address", "account"):
        assert row.pause_s
        assert row.pause_s > 0


def test_a_row_is_found_by_the_message_first_then_the_code_then_the_status() -> None:
    """The most particular row wins, whatever the order in which rows were given."""
    rows = [
        Row(Market.SPOT, (400,), code, message, AttemptOutcome.UNKNOWN, reason, "s", "s")
        for code, message, reason in ((None, None, "status"), (-1, None, "code"), (-1, "Text %s.", "message"))
    ]
    for given in (rows, rows[::-1]):
        table = Table(given)

        def reason(code: int | None, message: str, status: int = 400, table: Table[Any] = table) -> str:
            row = table.find(Market.SPOT, status, code, message)
            return row.reason if row else "none"

        assert reason(-1, "text  7") == "message"
        assert reason(-1, "text") == "code"
        assert reason(-2, "Text 7.") == "status"
        assert reason(None, "") == "status"
        assert reason(-1, "text 7", status=401) == "none"


def test_two_rows_for_one_key_are_an_error() -> None:
    """A key that two rows answer would make the table depend on their order."""
    row: Place = Row(Market.SPOT, (400,), -1, "Text.", AttemptOutcome.UNKNOWN, "r", "s", "s")
    other: Place = Row(Market.SPOT, (401, 400), -1, "text", AttemptOutcome.REJECTED, "r", "s", "s")
    with pytest.raises(ValueError, match="Two rows"):
        Table([row, other])


def test_every_failure_of_the_transport_has_a_row() -> None:
    """What the transport can report is in the table of failures, and besides only what happens above it."""
    assert {reason.value for reason in Reason} | {"cancelled", "lease_expired"} == set(FAILURES)


def test_the_table_agrees_with_the_independent_taxonomy() -> None:
    """Another reading of the documentation agrees, but for what PROTOCOL 5 decides itself."""
    meant = {"FINAL": "rejected", "RETRY_SAFE": "not_sent", "UNKNOWN": "unknown"}
    for entry in original("spot", "taxonomy__errors"):
        code, wanted = entry["code"], meant.get(entry["class_for_order_placement"], "unknown")
        if code not in (-1010, -2010):
            row = PLACE.find(Market.SPOT, STATUS_OF.get(code, 400), code, "")
            assert row is not None
            assert row.outcome == wanted, code
    for entry in original("spot", "taxonomy__matching-engine-messages"):
        # "Rest API trading is not enabled." is not on the closed list of what proves that nothing was sent.
        wanted = {"FINAL": "rejected", "RETRY_SAFE": "rejected"}.get(entry["class"], "unknown")
        code = -1013 if "self-trade" in entry["msg"] else -2010
        row = PLACE.find(Market.SPOT, 400, code, entry["msg"])
        assert row is not None
        assert row.outcome == ("rejected" if "FIX API" in entry["msg"] else wanted), entry["msg"]


def test_every_captured_futures_error_finds_its_own_row() -> None:
    """Each captured or documented error body is decided by a row for its code or text."""
    for name in names("futures", "err-[1-5]*"):
        status, body = int(name.split("-")[1]), original("futures", name)
        row = PLACE.find(Market.FUTURES, 400 if status == 1006 else status, body["code"], body["msg"])
        assert row is not None, name
        assert row.code == body["code"] or row.message is not None or status in (418, 429), name
