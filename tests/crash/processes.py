"""Services as children of a warm parent: started in milliseconds, killed, frozen and awaited by their id."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.crash.scale import Scale

ENDS_WITHIN_S = 25.0


class ProcessError(RuntimeError):
    """A process did not do what was waited for; the message holds the end of its log."""


@dataclass(slots=True)
class Forked:
    """One service process."""

    log: Path
    changed: threading.Condition
    pid: int = 0
    stopped: bool = False
    code: int | None = None

    def tail(self, size: int = 3000) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-size:] if self.log.exists() else ""

    def wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for something that happens to the process.

        Raises:
            ProcessError: it did not happen in time.

        """
        with self.changed:
            if not self.changed.wait_for(condition, seconds):
                raise ProcessError(f"process {self.pid} was not {what} within {seconds:g} s:\n{self.tail()}")

    def wait_ended(self, seconds: float = ENDS_WITHIN_S) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        self.wait(lambda: self.code is not None, seconds, "ended")
        assert self.code is not None
        return self.code

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.code is None and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self) -> None:
        """Ask it to settle what is in flight and end; kill it when it does not."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            self.wait_ended()
        except ProcessError:
            self.kill()

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        self.send(signal.SIGKILL)
        self.wait_ended()


@dataclass(slots=True)
class WarmParent:
    """The process that has imported everything and forks services."""

    folder: Path
    scale: Scale
    _popen: subprocess.Popen[bytes] = field(init=False)
    _changed: threading.Condition = field(init=False, default_factory=threading.Condition)
    _by_key: dict[int, Forked] = field(init=False, default_factory=dict)
    _by_pid: dict[int, Forked] = field(init=False, default_factory=dict)
    _keys: itertools.count[int] = field(init=False, default_factory=itertools.count)
    _ready: threading.Event = field(init=False, default_factory=threading.Event)
    _listener: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        if not self._ready.wait(60):
            self.__exit__()
            raise ProcessError("the warm parent did not come up")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()  # ends its children too
        self._popen.wait(30)
        self._listener.join(30)

    def start(
        self,
        service: str,
        environment: Mapping[str, str],
        name: str,
        *,
        mutation: str | None = None,
        answer_timeout_s: float | None = None,
    ) -> Forked:
        """Fork a service; returns once it has its id, which says nothing about being ready."""
        key = next(self._keys)
        forked = Forked(self.folder / f"{name}-{key}.log", self._changed)
        request = {
            "key": key,
            "service": service,
            "environment": dict(environment),
            "log": str(forked.log),
            "mutation": mutation,
            "answer_timeout_s": answer_timeout_s or self.scale.answer_timeout_s,
        }
        with self._changed:
            self._by_key[key] = forked
            assert self._popen.stdin is not None
            self._popen.stdin.write(json.dumps(request).encode() + b"\n")
            self._popen.stdin.flush()
        forked.wait(lambda: forked.pid != 0, 20, "started")
        return forked

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as lines:  # left unclosed, it would fail whatever test runs later
            for line in lines:
                message: dict[str, Any] = json.loads(line)
                with self._changed:
                    self._take(message)
                    self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        match message["event"]:
            case "ready":
                self._ready.set()
            case "started":
                forked = self._by_key.pop(message["key"])
                forked.pid = message["pid"]
                self._by_pid[forked.pid] = forked
            case "stopped":
                self._by_pid[message["pid"]].stopped = True
            case "continued":
                self._by_pid[message["pid"]].stopped = False
            case "ended":
                self._by_pid.pop(message["pid"]).code = message["code"]


def until(condition: Callable[[], bool], seconds: float, every_s: float = 0.05) -> bool:
    """Poll until something holds; False when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
