"""Answers of the exchange that are errors: a code, a text, an HTTP status."""

from __future__ import annotations

from typing import Any


class ExchangeError(Exception):
    """An error answer, as the Binance REST docs "Error codes" list them.

    Args:
        code: the exchange's negative code.
        msg: the exchange's text, word for word.
        status: HTTP status of the answer.
        data: what some errors carry beside code and text.
        retry_after: seconds for the `Retry-After` header.

    """

    def __init__(
        self,
        code: int,
        msg: str,
        status: int = 400,
        data: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.data = data
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        body: dict[str, Any] = {"code": self.code, "msg": self.msg}
        if self.data is not None:
            body["data"] = self.data
        return body


def rejected(msg: str) -> ExchangeError:
    """Build the error of a new order that the matching engine refused (-2010)."""
    return ExchangeError(-2010, msg)


def filter_failure(name: str) -> ExchangeError:
    """Build the error of an order that a filter refused before the engine (-1013)."""
    return ExchangeError(-1013, f"Filter failure: {name}")


def missing(name: str) -> ExchangeError:
    """Build the error of a mandatory parameter that is absent, empty or malformed (-1102)."""
    return ExchangeError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
