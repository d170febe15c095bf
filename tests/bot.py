"""The bot as the tests use it: the stand-in of the demo."""

from services.command_line.stand_in_bot import (
    API_KEY,
    API_SECRET,
    ENCRYPTION_KEY,
    Bot,
    Row,
    encrypt,
    order_row,
)

__all__ = ["API_KEY", "API_SECRET", "ENCRYPTION_KEY", "Bot", "Row", "encrypt", "order_row"]
