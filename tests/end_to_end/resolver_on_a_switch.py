"""An executor on a machine whose resolver knows names only while a file is there; all else is as it is."""

import os
import runpy
import socket
from collections.abc import Sequence
from pathlib import Path

from shared.binance import dial

SWITCH = "TEST_RESOLVER_SWITCH"


async def resolve(host: str, port: int) -> Sequence[tuple[int, int, int, str, dial.Address]]:
    """Answer as a resolver does that reaches its servers, or does not."""
    if not Path(os.environ[SWITCH]).exists():
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


if __name__ == "__main__":
    dial.resolve = resolve
    runpy.run_module("services.order_executor", run_name="__main__")
