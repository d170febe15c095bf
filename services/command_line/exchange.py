"""`bridge exchange`: the local Binance alone, for whoever wants to point a client at it."""

from __future__ import annotations

import os
import sys

import typer  # noqa: TC002 - typer reads annotations at run time


def command(context: typer.Context) -> None:
    """Run the local exchange; all options are its own (`bridge exchange --help`)."""
    # In place of this process: signals and exit code are the exchange's own.
    arguments = [sys.executable, "-m", "services.local_exchange", *context.args]
    os.execv(sys.executable, arguments)  # noqa: S606 - our own module
