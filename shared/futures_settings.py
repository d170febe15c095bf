"""What is set on a futures account before its first order on a symbol, and how its streams are carried."""

from __future__ import annotations

from typing import Annotated, Literal

from shared.environment import Lower, Settings, variable


class FuturesSettings(Settings):
    """USDⓈ-M futures: leverage and margin mode, each left as the account has it unless named; streams."""

    leverage: int | None = variable(
        "BRIDGE_FUTURES_LEVERAGE",
        "Leverage set before an account's first order on a symbol, lowered to the user's "
        "`max_leverage_multiple`. Not set: the account's own stands.",
        None,
        ge=1,
        le=125,
    )
    margin_mode: Annotated[Literal["", "cross", "isolated"], Lower] = variable(
        "BRIDGE_FUTURES_MARGIN_MODE",
        "Margin mode set at the same moment: `cross` or `isolated`. Not set: the account's own stands.",
        "",
    )
    accounts_per_stream: int = variable(
        "BRIDGE_FUTURES_ACCOUNTS_PER_STREAM",
        "How many futures accounts share one connection. The first stands in its URL with the events it "
        "wants, which is the better documented way; 1 keeps every account to that.",
        1,
        ge=1,
        le=200,
    )
