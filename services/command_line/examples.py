"""What `--help` shows below the options: how a verb is used, in commands that can be typed.

A test walks all verbs: each has examples, and each example is one that the verb's own parser takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.command_line.terminal import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "migrate": ("bridge migrate   # again at will: what is there already is left alone",),
    "grants": (
        "bridge grants --role bridge > grants.sql   # one role for everything",
        "bridge grants --separate > roles.sql       # one for each purpose",
    ),
    "uninstall": ("bridge uninstall --yes",),
    "demo": ("bridge demo", "bridge demo --keep   # stays up, for rows of your own"),
    "exchange": ("bridge exchange --port 9180 --admin-port 9181", "bridge exchange --json   # for a script"),
    "orders": (
        "bridge orders --state waiting   # what is not sent yet, and why",
        "bridge orders --state held --state unknown",
        "bridge orders --account main --symbol BTC/USDT --since 24",
        "bridge orders --state open --watch",
    ),
    "order": ("bridge order 3f2a   # the beginning of an id is enough", "bridge order 3f2a --json"),
    "positions": ("bridge positions", "bridge positions --account main --closed"),
    "top": ("bridge top", "bridge top --picture screen.svg"),
    "switches": ("bridge switches",),
    "doctor": ("bridge doctor", "bridge doctor --offline --json   # for a probe that must not use up weight"),
    "halt": (
        "bridge halt --reason 'the exchange misbehaves'",
        "bridge halt --account main --cancel-open",
        "bridge halt --symbol BTC/USDT --wait 5",
    ),
    "resume": ("bridge resume", "bridge resume --account main"),
    "reduce-only": ("bridge reduce-only on --account main", "bridge reduce-only off --account main"),
    "flatten": ("bridge flatten 3f2a", "bridge flatten --account main --wait 10", "bridge flatten --all"),
    "clear-breaker": ("bridge clear-breaker 7c9e6679-7425-40de-944b-e07fc1f90ae7 --reason 'looked at it'",),
    "place": (
        "bridge place buy BTC/USDT 350 --account main --wait 10",
        "bridge place buy ETH/USDT 200 --account main --type limit --price 3000",
        "bridge place sell BTC/USDT 0.005 --account main --market futures --reduce-only",
    ),
    "cancel": ("bridge cancel 3f2a --wait 10", "bridge cancel --account main", "bridge cancel --all"),
    "resolve": (
        "bridge resolve 3f2a --placed --exchange-order-id 12345",
        "bridge resolve 3f2a --not-placed",
        "bridge resolve 3f2a --not-placed --retry",
    ),
    "reconcile": ("bridge reconcile --account main", "bridge reconcile --journal claimed.jsonl"),
    "replay": ("bridge replay", "bridge replay --account main --symbol BTC/USDT --repair"),
    "adopt": (
        "bridge adopt 3f2a send",
        "bridge adopt 3f2a link --exchange-order-id 12345",
        "bridge adopt 3f2a reject --reason 'too late'",
    ),
    "prune": ("bridge prune --dry-run", "bridge prune --older-than 180 --export audit.jsonl"),
    "accounts list": ("bridge accounts list",),
    "accounts add": (
        "bridge accounts add --user 7c9e6679-7425-40de-944b-e07fc1f90ae7 --label main",
        "bridge accounts add --user 7c9e6679-7425-40de-944b-e07fc1f90ae7 --label main --live",
    ),
    "accounts check": ("bridge accounts check main", "bridge accounts check   # all of them"),
    "accounts prefer": (
        "bridge accounts prefer   # lists them",
        "bridge accounts prefer main",
        "bridge accounts prefer --forget --user 7c9e6679-7425-40de-944b-e07fc1f90ae7",
    ),
    "keys rotate": ("bridge keys rotate --bot-stopped",),
    "keys verify": ("bridge keys verify",),
    "keys undo": ("bridge keys undo --bot-stopped",),
    "epoch show": ("bridge epoch show",),
    "epoch bump": ("bridge epoch bump --reason 'the snapshot of this morning was put back'",),
}


def teach(app: typer.Typer, above: str = "") -> None:
    """Put the examples below the help of every verb, and the exit codes below that of the program."""
    for command in app.registered_commands:
        name = above + str(command.name or getattr(command.callback, "__name__", ""))
        command.epilog = "\n\n".join(("Examples:", *EXAMPLES.get(name, ())))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        teach(group.typer_instance, f"{above}{group.name} ")
    if not above:
        codes = (f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ExitCode)
        app.info.epilog = f"Exit codes: {', '.join(codes)}. `bridge VERB --help` shows examples."
