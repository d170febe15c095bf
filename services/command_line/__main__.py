"""`bridge`: one command, a verb per module."""

from __future__ import annotations

import typer

from services.command_line import (
    accounts,
    adopt,
    demo,
    doctor,
    epoch,
    examples,
    exchange,
    flatten,
    grants,
    halt,
    keys,
    migrate,
    order,
    orders,
    place,
    prune,
    reconcile,
    replay,
    resolve,
    top,
    uninstall,
)
from services.command_line.terminal import Verbs

app = typer.Typer(
    name="bridge",
    cls=Verbs,
    help="Carries pending orders from the bot's Postgres to Binance, exactly once; brings the fills back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables could show a key
)
app.command("migrate")(migrate.command)
app.command("grants")(grants.command)
app.command("uninstall")(uninstall.command)
app.command("demo")(demo.command)
passed_on = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command("exchange", context_settings=passed_on, add_help_option=False)(exchange.command)

LOOK = "Look"
STEER = "Steer"
app.command("orders", rich_help_panel=LOOK)(orders.orders)
app.command("order", rich_help_panel=LOOK)(order.order)
app.command("positions", rich_help_panel=LOOK)(orders.positions)
app.command("top", rich_help_panel=LOOK)(top.top)
app.command("switches", rich_help_panel=LOOK)(halt.switches)
app.command("doctor", rich_help_panel=LOOK)(doctor.doctor)
app.command("halt", rich_help_panel=STEER)(halt.halt)
app.command("resume", rich_help_panel=STEER)(halt.resume)
app.command("reduce-only", rich_help_panel=STEER)(halt.reduce_only)
app.command("flatten", rich_help_panel=STEER)(flatten.flatten)
app.command("clear-breaker", rich_help_panel=STEER)(halt.breaker)
app.command("place", rich_help_panel=STEER)(place.place)
app.command("cancel", rich_help_panel=STEER)(place.cancel)
app.command("resolve", rich_help_panel=STEER)(resolve.resolve)
app.command("reconcile", rich_help_panel=STEER)(reconcile.reconcile)
app.command("replay", rich_help_panel=STEER)(replay.replay)
app.command("adopt", rich_help_panel=STEER)(adopt.adopt)
SET_UP = "Set up"
app.add_typer(accounts.app, name="accounts", rich_help_panel=SET_UP)
app.add_typer(keys.app, name="keys", rich_help_panel=SET_UP)
app.add_typer(epoch.app, name="epoch", rich_help_panel=SET_UP)
app.command("prune", rich_help_panel=SET_UP)(prune.prune)
examples.teach(app)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
