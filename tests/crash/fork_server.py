"""A warm parent: it has imported all of a service once and forks a process per request.

Starting Python and importing takes a second of processor time, forking takes none; a crash matrix starts
hundreds of processes. Requests come as lines of JSON on stdin, what becomes of the children goes to stdout.
The end of stdin is the end of every child.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import traceback
from functools import partial
from typing import Any, Never

from services.fill_listener import listener, venues
from services.fill_listener.markets import MarketListeners
from services.order_executor.executor import Executor
from shared.service import serve as run_service
from shared.telemetry.metrics import EXECUTOR, LISTENER
from tests.crash import mutations
from tests.crash.scale import RATE_LIMIT_SCALE

NOT_MUTATED = 71
"""Exit code of a worker whose mutation does not fit the code any more."""

SERVICES = {
    EXECUTOR: lambda: run_service(EXECUTOR, Executor),
    LISTENER: lambda: run_service(LISTENER, MarketListeners),
}


def serve() -> None:
    """Fork on request, report every child that stopped, went on or ended, until stdin ends."""
    gc.collect()
    gc.freeze()  # what is shared with the children stays shared
    # A dead child wakes the select, so that its end is known at once.
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    pending = b""
    tell({"event": "ready"})
    while True:
        readable, _, _ = select.select([0, woken], [], [], 1.0)
        if woken in readable:
            os.read(woken, 4096)
        report(children)
        if 0 not in readable:
            continue
        received = os.read(0, 1 << 16)
        if not received:
            break
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                become(request)
            children.add(pid)
            tell({"event": "started", "key": request["key"], "pid": pid})
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def report(children: set[int]) -> None:
    """Tell what happened to children since the last look."""
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if os.WIFSTOPPED(status):
            tell({"event": "stopped", "pid": pid})
        elif os.WIFCONTINUED(status):
            tell({"event": "continued", "pid": pid})
        else:
            children.discard(pid)
            tell({"event": "ended", "pid": pid, "code": os.waitstatus_to_exitcode(status)})


def tell(message: dict[str, Any]) -> None:
    """Write one line to whoever started us."""
    os.write(1, json.dumps(message).encode() + b"\n")


def become(request: dict[str, Any]) -> Never:
    """Turn this fork into the service asked for; never returns."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.environ.update(request["environment"])
        scale_the_transport(request["answer_timeout_s"])
        scale_the_listeners_share()
        if request["mutation"]:
            code = NOT_MUTATED
            mutations.apply(request["mutation"])
        code = SERVICES[request["service"]]()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 -- nothing of the child may run on in the parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def scale_the_transport(answer_timeout_s: float) -> None:
    """Let the transport give answers up on the run's scale: the one wait that is no setting."""
    for name in ("services.order_executor.venues", "services.fill_listener.venues"):
        module: Any = sys.modules[name]
        module.BinanceTransport = partial(module.BinanceTransport, answer_timeout_s=answer_timeout_s)


def scale_the_listeners_share() -> None:
    """Let a listener ask and connect as often as the scaled limits allow: a soak packs hours into minutes."""
    listener.SHARE = {
        market: (weight_per_s * RATE_LIMIT_SCALE, at_once * RATE_LIMIT_SCALE)
        for market, (weight_per_s, at_once) in listener.SHARE.items()
    }
    venues.CONNECTS_PER_S *= RATE_LIMIT_SCALE
    venues.CONNECTS_AT_ONCE *= RATE_LIMIT_SCALE


if __name__ == "__main__":
    serve()
