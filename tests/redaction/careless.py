"""An executor with a mistake in it: signing fails, and the exception quotes request, key and secret.

`python -m tests.redaction.careless`; with CARELESS_WITHOUT_REDACTION set nothing is redacted, which the
search must notice.
"""

from __future__ import annotations

import os
import sys

from services.order_executor import send
from services.order_executor.executor import Executor
from shared.binance.sign import Credentials, with_signature
from shared.service import serve
from shared.telemetry.metrics import EXECUTOR
from shared.telemetry.redaction import Redactor

WITHOUT_REDACTION = "CARELESS_WITHOUT_REDACTION"


def signed_carelessly(payload: str, credentials: Credentials) -> str:
    """Raise what no one should ever write.

    Raises:
        RuntimeError: with everything in it.

    """
    signed = with_signature(payload, credentials)
    try:
        raise ValueError(f"secret {credentials.secret}")
    except ValueError as error:
        raise RuntimeError(f"cannot send {signed} with {credentials.api_key}") from error


def redact_nothing() -> None:
    """Make every redactor of this process useless."""
    setattr(Redactor, "clean", lambda _self, text: text)  # noqa: B010 - mypy would rather not know
    setattr(Redactor, "clean_value", lambda _self, value, _depth=0: value)  # noqa: B010
    setattr(Redactor, "__call__", lambda _self, _logger, _method, event: event)  # noqa: B010


if __name__ == "__main__":
    assert vars(send)["with_signature"] is with_signature, "sending signs otherwise: no mistake is made"
    setattr(send, "with_signature", signed_carelessly)  # noqa: B010
    if WITHOUT_REDACTION in os.environ:
        redact_nothing()
    sys.exit(serve(EXECUTOR, Executor))
