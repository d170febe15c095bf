"""`bridge`: one command, a verb per module."""

from __future__ import annotations

import typer

from services.command_line import demo, exchange, grants, migrate, uninstall

app = typer.Typer(
    name="bridge",
    help="Carries pending orders from the bot's Postgres to Binance, exactly once, and brings the fills back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables could show a key
)
app.command("migrate")(migrate.command)
app.command("grants")(grants.command)
app.command("uninstall")(uninstall.command)
app.command("demo")(demo.command)
app.command("exchange", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    exchange.command
)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
