"""What a process imports is what it takes to start; two seconds are not kept if all is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Each takes a tenth of a second or more, and is for somebody else, or for an option that is off by default.
COSTLY = ("aiohttp", "opentelemetry.exporter", "opentelemetry.sdk", "psycopg", "textual", "typer")
OFTEN_TYPED = ("aiohttp", "opentelemetry.exporter", "opentelemetry.sdk", "textual")


@pytest.mark.parametrize(
    ("modules", "costly"),
    [
        ("shared.service, services.order_executor.executor", COSTLY),
        ("shared.service, services.fill_listener.markets", COSTLY),
        ("services.command_line.__main__", OFTEN_TYPED),
    ],
    ids=["order_executor", "fill_listener", "bridge"],
)
def test_nothing_is_imported_that_is_not_used(modules: str, costly: tuple[str, ...]) -> None:
    """A service imports no framework it does not serve with; no verb carries another's weight."""
    script = f"import sys, {modules}; print(*sys.modules, sep='\\n')"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(costly) & set(ran.stdout.split()) == set()
