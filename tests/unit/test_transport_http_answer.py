"""The answer parser: one result however the bytes are cut, and never an exception but its own."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.binance.failures import Reason
from shared.binance.http_answer import AnswerReader, BadAnswerError, WholeAnswer

bodies = st.binary(max_size=300)
statuses = st.sampled_from([200, 400, 403, 418, 429, 500, 503])


def with_length(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: a/b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def in_chunks(status: int, parts: list[bytes]) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
    return b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (status, chunks)


def feed(data: bytes, cuts: list[int]) -> WholeAnswer | None:
    reader = AnswerReader(100_000)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    answer = None
    for start, end in itertools.pairwise(edges):
        answer = reader.feed(data[start:end])
        assert answer is None or end == len(data), "whole before its last byte"
    return answer


@given(statuses, bodies, st.lists(st.integers(0, 10_000), max_size=30))
def test_answer_with_length_is_the_same_however_cut(status, body, cuts):
    """Any cut of the bytes gives the same answer, at the last byte and not before."""
    answer = feed(with_length(status, body), cuts)
    assert answer == WholeAnswer(
        status, [(b"Content-Type", b"a/b"), (b"Content-Length", b"%d" % len(body))], body, keep_alive=True
    )


@given(statuses, st.lists(bodies, max_size=5), st.lists(st.integers(0, 10_000), max_size=30))
def test_answer_in_chunks_is_the_same_however_cut(status, parts, cuts):
    """Chunk framing leaves no trace in the body."""
    answer = feed(in_chunks(status, parts), cuts)
    assert answer is not None
    assert (answer.status, answer.body) == (status, b"".join(parts))


@given(bodies, st.binary(min_size=1, max_size=50), st.booleans())
def test_bytes_behind_the_answer_are_refused(body, surplus, at_once):
    """More bytes than one answer, in the same read or in the next: not trusted."""
    reader = AnswerReader(100_000)
    data = with_length(200, body)
    if at_once and surplus.strip(b"\r\n"):
        with pytest.raises(BadAnswerError):
            reader.feed(data + surplus)
    else:
        assert reader.feed(data) is not None
        with pytest.raises(BadAnswerError):
            reader.feed(surplus)


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10))
def test_any_bytes_give_an_answer_nothing_or_the_one_error(pieces):
    """Arbitrary input never escapes as another exception."""
    reader = AnswerReader(1000)
    with contextlib.suppress(BadAnswerError):
        for piece in pieces:
            reader.feed(piece)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_damaged_answer_is_never_taken_for_another_body(junk, position):
    """Junk put into an answer gives no answer, unless it is whole and well-framed by itself."""
    data = with_length(200, b'{"a":1}')
    position %= len(data) + 1
    damaged = data[:position] + junk + data[position:]
    reader = AnswerReader(1000)
    try:
        answer = reader.feed(damaged)
    except BadAnswerError:
        return
    if answer is not None:
        assert len(answer.body) == int(dict(answer.headers).get(b"Content-Length", b"0"))


def test_announced_size_beyond_the_bound_is_refused_at_the_headers():
    """The announcement is enough; no body byte is waited for."""
    with pytest.raises(BadAnswerError) as failure:
        AnswerReader(1000).feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")
    assert failure.value.reason is Reason.TOO_LARGE


def test_answer_at_the_bound_is_taken():
    """The bound itself is allowed, one byte less is not."""
    data = with_length(200, b"x" * 100)
    assert AnswerReader(len(data)).feed(data) is not None
    with pytest.raises(BadAnswerError):
        AnswerReader(len(data) - 1).feed(data)
