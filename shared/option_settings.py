"""What a bridge can do beside its work, each off unless it is switched on."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import SecretStr, model_validator

from shared.environment import Settings, variable


class OptionSettings(Settings):
    """What the fill listener can do beside: messages to users, the books of strategies; off by default."""

    telegram_token: SecretStr | None = variable(
        "TELEGRAM_BOT_TOKEN",
        "The bot's token. Set: users with `settings.notifications_on` get a message when an order is filled "
        "or rejected and when a position is closed. Only sendMessage is ever called.",
        None,
    )
    telegram_url: str = variable(
        "BRIDGE_TELEGRAM_URL", "Where Telegram's Bot API is.", "https://api.telegram.org"
    )
    strategy_books: bool = variable(
        "BRIDGE_STRATEGY_BOOKS",
        "`on` books spot fills into `strategy_transactions` and keeps the figures of `user_strategies`.",
        default=False,
    )
    bot_time_zone: str = variable(
        "BRIDGE_BOT_TIME_ZONE",
        "Time zone of the bot's host, such as `Asia/Bangkok`: its strategy tables hold local time.",
        "UTC",
    )
    own_address: bool = variable(
        "BRIDGE_OWN_ADDRESS",
        "`on` says that each fill listener leaves by an address of its own. Else all that live share the "
        "request weight of one address out among them.",
        default=False,
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if urlsplit(self.telegram_url).scheme not in ("http", "https"):
            raise ValueError("BRIDGE_TELEGRAM_URL: it must begin with https:// (or http:// for tests)")
        try:
            ZoneInfo(self.bot_time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("BRIDGE_BOT_TIME_ZONE: there is no such time zone") from None
        return self
