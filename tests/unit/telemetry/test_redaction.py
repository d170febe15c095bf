"""No secret is shown, in whatever form and wherever it stands."""

from __future__ import annotations

import base64
import json
import string
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry import logs
from shared.telemetry.redaction import PART, REDACTED, Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"

FORMS: dict[str, Callable[[str], str]] = {
    "raw": lambda s: s,
    "url": lambda s: quote(s, safe=""),
    "form": quote_plus,
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 inside": lambda s: base64.b64encode(b"user:" + s.encode() + b"@host").decode(),
    "base64 url-safe": lambda s: base64.urlsafe_b64encode(b"u" + s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
}

secrets = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "+/=-_ é₿"), min_size=20, max_size=80
)
surroundings = st.text(st.sampled_from(string.ascii_lowercase + ' =:/"&{'), max_size=40)


def longest_common_part(text, form):
    """Return the length of the longest part of a form that a text still shows."""
    return max(
        (
            size
            for size in range(1, len(form) + 1)
            for i in range(len(form) - size + 1)
            if form[i : i + size] in text
        ),
        default=0,
    )


@given(secrets.map(str.strip).filter(lambda s: len(s) >= 20), surroundings, surroundings, st.data())
def test_any_part_of_any_form_is_removed(secret, before, after, data):
    """Twelve characters or more of a known secret never survive, wherever they stand in the text."""
    redactor = Redactor()
    redactor.register(secret)
    form = data.draw(
        st.sampled_from(["raw", "url", "form", "base64", "hex", "HEX"]).map(lambda n: FORMS[n](secret))
    )
    start = data.draw(st.integers(0, len(form) - PART))
    part = form[start : data.draw(st.integers(start + PART, len(form)))]
    cleaned = redactor.clean(before + part + after)
    windows = {part[i : i + PART] for i in range(len(part) - PART + 1)}
    assert not any(window in cleaned for window in windows)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_whole_forms(form):
    """A whole secret in each form leaves nothing recognisable behind."""
    redactor = Redactor()
    redactor.register(SECRET)
    text = f"before {form(SECRET)} after"
    cleaned = redactor.clean(text)
    assert longest_common_part(cleaned.replace(REDACTED, "\0"), form(SECRET)) < PART
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


@given(st.text(max_size=200))
def test_other_text_is_left_alone(text):
    """What holds neither a secret nor the name of one is not changed."""
    redactor = Redactor()
    redactor.register(SECRET)
    if not any(sign in text for sign in "=:,%/@"):
        assert redactor.clean(text) == text


def test_eleven_characters_are_not_a_part():
    """Shorter coincidences, which ids may hold, are left readable."""
    redactor = Redactor()
    redactor.register(SECRET)
    assert redactor.clean(SECRET[10 : 10 + PART - 1]) == SECRET[10 : 10 + PART - 1]
    assert redactor.clean(SECRET[10 : 10 + PART]) == REDACTED


def test_ids_stay_readable():
    """What operators search for is not blanked by a thousand registered secrets."""
    redactor = Redactor()
    for i in range(1000):
        redactor.register(base64.b64encode(i.to_bytes(4, "big") * 12).decode())
    for text in (
        "0b9f8d1e-7f2c-4c7a-9d4e-2f1a6f0e3b5d",
        "b0b9f8d1e7f2c4c7a9d4e2f1a6f0e3b5d-1",
        "BTCUSDT",
        "order sent",
    ):
        assert redactor.clean(text) == text


def test_short_secrets_are_removed_whole():
    """A passphrase or password below twelve characters is found too, the longest first."""
    redactor = Redactor()
    redactor.register("hunter2", "hunter2!", "abc", None, "")
    assert redactor.clean("wrong hunter2! and hunter2, abc") == f"wrong {REDACTED} and {REDACTED}, abc"
    assert "68756e74657232" not in redactor.clean("68756e74657232")


@pytest.mark.parametrize(
    "text",
    [
        "POST /api/v3/order?symbol=BTCUSDT&signature=HIDDENVALUE",
        "symbol=BTCUSDT&signature=HIDDENVALUE&timestamp=1",
        "signature%3DHIDDENVALUE",
        "X-MBX-APIKEY: HIDDENVALUE",
        "{'X-MBX-APIKEY': 'HIDDENVALUE'}",
        "[(b'x-mbx-apikey', b'HIDDENVALUE')]",
        '{"apiKey":"HIDDENVALUE","timestamp":1}',
        '{\\"apiKey\\": \\"HIDDENVALUE\\"}',
        "listenKey=HIDDENVALUE",
        '{"listenKey": "HIDDENVALUE"}',
        "postgresql://trading:HIDDENVALUE@db:5432/bot",
        "password='HIDDENVALUE' host=db",
        "Authorization: Bearer HIDDENVALUE",
        "wss://fstream.binance.com/private/ws/" + "HIDDENVALUE" * 6,
        "wss://fstream.binance.com/ws/" + "HIDDENVALUE" * 6,
        "-----BEGIN PRIVATE KEY-----\nHIDDENVALUE\nHIDDENVALUE\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nHIDDENVALUE cut off",
        "ENCRYPTION_KEY=HIDDENVALUE",
    ],
)
def test_unknown_secrets_are_found_by_their_surroundings(text):
    """A secret nobody registered is removed where its name stands before it."""
    assert "HIDDENVALUE" not in Redactor().clean(text)


def test_what_stands_around_a_secret_stays():
    """An operator still sees which request it was."""
    cleaned = Redactor().clean("POST /api/v3/order?symbol=BTCUSDT&signature=ab12&timestamp=1 failed")
    assert cleaned == f"POST /api/v3/order?symbol=BTCUSDT&signature={REDACTED}&timestamp=1 failed"


def test_values_of_every_kind():
    """A secret is found inside lists, mappings, bytes, objects and behind the name of a field."""
    redactor = Redactor()
    redactor.register(SECRET)

    class Holder:
        def __repr__(self):
            return f"Holder({SECRET})"

    event: dict[str, Any] = {
        "list": [SECRET, {"deep": (SECRET,)}],
        "bytes": SECRET.encode(),
        "object": Holder(),
        "error": ValueError(SECRET),
        "set": {SECRET},
        "nested": {SECRET: 1, "api_key": "anything", "x": {"Secret": 5}},
        "signature": "anything",
        "listenKey": "anything",
    }
    deep: dict[str, Any] = {}
    event["deep"] = deep
    for _ in range(50):
        deep["more"] = deep = {"leaf": SECRET}
    cleaned = redactor(None, "info", event)
    assert SECRET not in repr(cleaned)
    assert "anything" not in repr(cleaned)
    assert cleaned["nested"]["x"]["Secret"] == REDACTED


@given(
    st.text(st.sampled_from(string.ascii_letters + '"\\\n\0é'), min_size=12, max_size=40),
    st.lists(
        st.sampled_from(["{}", "{}{}", "a {} b", "signature={}", "postgresql://user:{}@host/", "x" * 13]),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_a_whole_event_is_cleaned_like_each_of_its_values(secret, shapes, data):
    """Looking at all texts at once misses nothing, nor what JSON would escape: quotes, backslashes, lines."""
    redactor = Redactor()
    redactor.register(secret)
    stripped = secret.strip()
    words = st.sampled_from([stripped, stripped[:PART], stripped[-PART:], "plain", "", "BTCUSDT"])
    event = {
        str(number): shape.format(data.draw(words), data.draw(words)) for number, shape in enumerate(shapes)
    }
    cleaned = redactor(None, "info", dict(event))
    assert cleaned == {name: redactor.clean_value(value) for name, value in event.items()}
    if len(stripped) >= PART:
        shown = json.loads(logs.render(None, "info", cleaned))
        assert not any(stripped in value or stripped[:PART] in value for value in shown.values())


def test_plain_values_keep_their_kind():
    """Numbers, ids and money are not turned into text."""
    event = {"n": 1, "x": 0.5, "ok": True, "none": None, "id": UUID(int=1), "money": Decimal("1.50")}
    assert Redactor()(None, "info", dict(event)) == event


def test_repr_shows_no_secret():
    """The redactor itself may be shown."""
    redactor = Redactor()
    redactor.register(SECRET)
    assert SECRET[:PART] not in repr(redactor)
