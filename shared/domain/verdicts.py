"""PROTOCOL 1: what we say when a row is not sent now, and the table of everything we can say (DESIGN 5).

A verdict is a value: *waiting* (resumes by itself), *held* (needs its owner's word) or *rejected* (final).
Each has a code for machines and a sentence for people. `REFUSALS` is the one table of them; no sentence is
written anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from shared.domain.money import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_LENGTH = 48
"""How much of a text the bot wrote is repeated in a sentence."""


class VerdictKind(StrEnum):
    """How final a verdict is."""

    WAITING = "waiting"
    HELD = "held"
    REJECTED = "rejected"


class Code(StrEnum):
    """Every reason for which a row is not sent; a label of the metrics, so never renamed lightly."""

    # Waiting.
    HALTED = "halted"
    PAUSED = "paused"
    NO_ANSWER = "no_answer"
    BANNED = "banned"
    RATE_LIMITED = "rate_limited"
    ORDERS_PER_MINUTE = "orders_per_minute"
    NO_FRESH_PRICE = "no_fresh_price"
    NO_USD_PRICE = "no_usd_price"
    QUARANTINE = "quarantine"
    PARENT_OPEN = "parent_open"
    EARLIER_ROW = "earlier_row"
    FILLS_MISSING = "fills_missing"
    CLOCK_UNKNOWN = "clock_unknown"
    # Held.
    TOO_OLD = "too_old"
    TWIN = "twin"
    FROM_BEFORE = "from_before"
    ATTEMPTS_USED_UP = "attempts_used_up"
    NOT_PREPARED = "not_prepared"
    # Rejected for what the account or the user is.
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_FOREIGN = "account_foreign"
    ACCOUNT_NOT_BINANCE = "account_not_binance"
    ACCOUNT_INACTIVE = "account_inactive"
    USER_UNKNOWN = "user_unknown"
    USER_INACTIVE = "user_inactive"
    LIVE_NOT_SWITCHED_ON = "live_not_switched_on"
    KEY_UNREADABLE = "key_unreadable"
    KEY_REFUSED = "key_refused"
    # Rejected for the row itself.
    TYPE_UNKNOWN = "type_unknown"
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    PRICE_MISSING = "price_missing"
    PRICE_NEGATIVE = "price_negative"
    STOP_PRICE_MISSING = "stop_price_missing"
    PARENT_UNFILLED = "parent_unfilled"
    ABSENT_TOO_OFTEN = "absent_too_often"
    # Rejected for the symbol.
    SYMBOL_UNKNOWN = "symbol_unknown"
    SYMBOL_AMBIGUOUS = "symbol_ambiguous"
    SYMBOL_NOT_TRADING = "symbol_not_trading"
    MARKET_NOT_SERVED = "market_not_served"
    TYPE_NOT_ALLOWED = "type_not_allowed"
    SETTING_REFUSED = "setting_refused"
    # Rejected while sizing.
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    NOTHING_FREE = "nothing_free"
    UNIT_UNCLEAR = "unit_unclear"
    EXCEEDS_POSITION = "exceeds_position"
    DUST = "dust"
    ROUNDS_TO_ZERO = "rounds_to_zero"
    TRIGGERS_AT_ONCE = "triggers_at_once"
    # Rejected by a filter of the exchange's.
    FILTER_PRICE = "filter_price"
    FILTER_PERCENT_PRICE = "filter_percent_price"
    FILTER_LOT_SIZE = "filter_lot_size"
    FILTER_MARKET_LOT_SIZE = "filter_market_lot_size"
    FILTER_NOTIONAL = "filter_notional"
    FILTER_MAX_POSITION = "filter_max_position"
    FILTER_MAX_NUM_ORDERS = "filter_max_num_orders"
    FILTER_MAX_ASSET = "filter_max_asset"
    # Rejected by our switches and limits.
    REDUCE_ONLY_SWITCH = "reduce_only_switch"
    CIRCUIT_BREAKER = "circuit_breaker"
    CAP_ORDER = "cap_order"
    CAP_POSITION = "cap_position"
    CAP_EXPOSURE = "cap_exposure"
    CAP_STRATEGY = "cap_strategy"
    BELOW_USER_MINIMUM = "below_user_minimum"
    COLLAR_LIMIT = "collar_limit"
    COLLAR_STOP = "collar_stop"
    COLLAR_MARKET = "collar_market"


_METRICS = {
    VerdictKind.WAITING: "orders_waiting_total",
    VerdictKind.HELD: "orders_held_total",
    VerdictKind.REJECTED: "orders_failed_total",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One line of the table of refusals.

    Args:
        code: the reason, for machines.
        kind: how final it is.
        guard: the check that says so, in a word.
        template: the sentence for people, with named gaps.

    """

    code: Code
    kind: VerdictKind
    guard: str
    template: str

    @property
    def metric(self) -> str:
        """The counter that rises, with the label it rises under."""
        return f'{_METRICS[self.kind]}{{reason="{self.code}"}}'


@dataclass(frozen=True, slots=True)
class Waiting:
    """The row keeps its place and resumes by itself."""

    code: Code
    sentence: str


@dataclass(frozen=True, slots=True)
class Held:
    """The row leaves only by its owner's word (`bridge adopt`) or by the bot's cancel."""

    code: Code
    sentence: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The row is finished; the sentence goes before its reasoning."""

    code: Code
    sentence: str


Verdict = Waiting | Held | Rejected

# Code: (guard, sentence).
_WAITING: dict[Code, tuple[str, str]] = {
    Code.HALTED: ("switch", "Sending is halted for {scope}: {reason}. It goes on after `bridge resume`."),
    Code.PAUSED: (
        "endpoint",
        "The exchange's address {address} is paused after failures; it is probed and opens by itself.",
    ),
    Code.NO_ANSWER: (
        "endpoint",
        "The exchange's address {address} did not answer what has to be known first; it is asked again.",
    ),
    Code.BANNED: ("rate", "The exchange has banned this address until {until}."),
    Code.RATE_LIMITED: ("rate", "No request weight or order slot is free for this account at the moment."),
    Code.ORDERS_PER_MINUTE: (
        "rate",
        "This user has sent {count} orders in the last minute, the limit is {limit}.",
    ),
    Code.NO_FRESH_PRICE: (
        "price",
        "There is no fresh price for {symbol}; the order is sized as soon as there is one.",
    ),
    Code.NO_USD_PRICE: (
        "price",
        "There is no fresh price to value {asset} in USD, so the caps cannot be checked yet.",
    ),
    Code.QUARANTINE: (
        "epoch",
        "The database has changed under us; rows older than the change wait until {until}.",
    ),
    Code.PARENT_OPEN: ("parent", "The parent order {order} is not finished yet."),
    Code.EARLIER_ROW: (
        "order_of_sending",
        "An earlier order of the same account and symbol, {order}, is not at the exchange yet.",
    ),
    Code.FILLS_MISSING: (
        "order_of_sending",
        "The exchange reports fills of the order {order} that are not counted into the position yet.",
    ),
    Code.CLOCK_UNKNOWN: (
        "clock",
        "The difference between our clock and the exchange's is unknown or too uncertain.",
    ),
}
_HELD: dict[Code, tuple[str, str]] = {
    Code.TOO_OLD: (
        "age",
        (
            "The order is {age} s old, older than the limit of {limit} s. `bridge adopt` sends, links or "
            "rejects it."
        ),
    ),
    Code.TWIN: (
        "twin",
        "The order equals order {twin}, inserted {apart} s before. `bridge adopt` sends or rejects it.",
    ),
    Code.FROM_BEFORE: (
        "from_before",
        (
            "The order was there before the bridge was switched on. `bridge adopt` asks the exchange about "
            "it first."
        ),
    ),
    Code.ATTEMPTS_USED_UP: (
        "attempts",
        "All {count} attempts are used up and none was sent. `bridge adopt` decides what becomes of it.",
    ),
    Code.NOT_PREPARED: (
        "bridge",
        (
            "The bridge failed to prepare the order ({error}, a mistake of its own); nothing was sent. "
            "`bridge adopt` tries it again or rejects it."
        ),
    ),
}
_REJECTED: dict[Code, tuple[str, str]] = {
    Code.ACCOUNT_UNKNOWN: ("account", "The exchange account {account} does not exist."),
    Code.ACCOUNT_FOREIGN: ("account", "The exchange account {account} belongs to another user."),
    Code.ACCOUNT_NOT_BINANCE: ("account", "The account is on {exchange}; only Binance accounts are served."),
    Code.ACCOUNT_INACTIVE: (
        "account",
        "The exchange account {account} is switched off (is_active is false).",
    ),
    Code.USER_UNKNOWN: ("user", "The user {user} does not exist."),
    Code.USER_INACTIVE: ("user", "The user {user} is switched off (is_active is false)."),
    Code.LIVE_NOT_SWITCHED_ON: (
        "live",
        "The account trades real money (is_testnet is false) and live trading is not switched on.",
    ),
    Code.KEY_UNREADABLE: (
        "key",
        (
            "The account's API key cannot be decrypted: it was stored with another ENCRYPTION_KEY or is no "
            "key. Store it again."
        ),
    ),
    Code.KEY_REFUSED: (
        "key",
        (
            "The exchange refuses the account's API key: {reason}. Correct the key; the account is tried "
            "again when its row changes."
        ),
    ),
    Code.TYPE_UNKNOWN: (
        "type",
        "The order's type is {type}, which this version of the bridge does not know; nothing was sent.",
    ),
    Code.AMOUNT_NOT_POSITIVE: ("amount", "The amount is {amount}; it must be greater than zero."),
    Code.PRICE_MISSING: ("price", "A {type} order needs a price greater than zero; the price is {price}."),
    Code.PRICE_NEGATIVE: ("price", "The {which} is {price}; it cannot be negative."),
    Code.STOP_PRICE_MISSING: ("price", "A {type} order needs a stop price greater than zero; it is {price}."),
    Code.PARENT_UNFILLED: (
        "parent",
        "The parent order {parent} ended without a fill, so there is nothing to do.",
    ),
    Code.ABSENT_TOO_OFTEN: (
        "attempts",
        "The order was sent {count} times and never reached the exchange; the last reason was: {reason}.",
    ),
    Code.SYMBOL_UNKNOWN: ("symbol", "The exchange does not know the symbol {symbol} on {market}.{hint}"),
    Code.SYMBOL_AMBIGUOUS: (
        "symbol",
        "The symbol {symbol} could mean {candidates}; write base and quote, like BTC/USDT.",
    ),
    Code.SYMBOL_NOT_TRADING: (
        "symbol",
        "{symbol} is not open for trading at the exchange (status {status}).",
    ),
    Code.MARKET_NOT_SERVED: ("symbol", "Orders on the {market} market are not served by this installation."),
    Code.TYPE_NOT_ALLOWED: ("symbol", "The exchange takes no {type} orders for {symbol}."),
    Code.SETTING_REFUSED: (
        "symbol",
        "The exchange refuses {setting} for {symbol}: {reason} Correct the setting; nothing was sent.",
    ),
    Code.NOTHING_TO_REDUCE: (
        "sizing",
        "There is no open {symbol} position that this {side} order could reduce.",
    ),
    Code.NOTHING_FREE: (
        "sizing",
        (
            "The position holds {size} {base}, but nothing of it is free at the exchange: it is locked in "
            "other orders or was moved."
        ),
    ),
    Code.UNIT_UNCLEAR: (
        "sizing",
        (
            "The amount {amount} can be read as {base_reading} {base} or as {amount} {quote} "
            "({quote_reading} {base}) of the {size} {base} held; set the unit for this agent or name the "
            "whole position."
        ),
    ),
    Code.EXCEEDS_POSITION: (
        "sizing",
        (
            "The amount {amount} is more than the position holds, read as {base} (held {size}) and as "
            "{quote} (worth {worth})."
        ),
    ),
    Code.DUST: (
        "sizing",
        (
            "Only {size} {base} (about {worth} {quote}) could be sold; the exchange takes no less than "
            "{minimum}. It stays as dust."
        ),
    ),
    Code.ROUNDS_TO_ZERO: (
        "sizing",
        "The amount {amount} is less than the smallest step the exchange trades, {step} {asset}.",
    ),
    Code.TRIGGERS_AT_ONCE: (
        "sizing",
        (
            "The stop price {stop} lies between bid {bid} and ask {ask}; the order would trigger at once. "
            "Send a market order."
        ),
    ),
    Code.FILTER_PRICE: ("filter", "{filter}: the {which} {value} is {relation} {limit}."),
    Code.FILTER_PERCENT_PRICE: (
        "filter",
        (
            "{filter}: the price {value} is {relation} {limit}, the furthest the exchange allows from "
            "{reference} for a {side}."
        ),
    ),
    Code.FILTER_LOT_SIZE: ("filter", "LOT_SIZE: the quantity {value} {base} is {relation} {limit} {base}."),
    Code.FILTER_MARKET_LOT_SIZE: (
        "filter",
        "MARKET_LOT_SIZE: the quantity {value} {base} is {relation} {limit} {base}.",
    ),
    Code.FILTER_NOTIONAL: (
        "filter",
        "{filter}: the order is worth {value} {quote}, {relation} {limit} {quote}.",
    ),
    Code.FILTER_MAX_POSITION: (
        "filter",
        (
            "MAX_POSITION: with this order the account could hold {value} {base}, more than the maximum of "
            "{limit} {base}."
        ),
    ),
    Code.FILTER_MAX_NUM_ORDERS: (
        "filter",
        ("{filter}: there would be {value} open orders, more than the maximum of {limit}. Cancel one first."),
    ),
    Code.FILTER_MAX_ASSET: (
        "filter",
        (
            "MAX_ASSET: the order moves {value} {asset}, more than the maximum of {limit} {asset} in one "
            "order."
        ),
    ),
    Code.REDUCE_ONLY_SWITCH: (
        "switch",
        "Only orders that reduce a position are taken for {scope}: {reason}.",
    ),
    Code.CIRCUIT_BREAKER: (
        "breaker",
        "The user's circuit breaker has tripped: {reason}. Only orders that reduce are sent.",
    ),
    Code.CAP_ORDER: ("cap", "The order is worth {value} USD, more than the cap of {limit} USD per order."),
    Code.CAP_POSITION: (
        "cap",
        "The position would be worth {value} USD, more than the user's cap of {limit} USD.",
    ),
    Code.CAP_EXPOSURE: (
        "cap",
        "All positions together would be worth {value} USD, more than the user's cap of {limit} USD.",
    ),
    Code.CAP_STRATEGY: ("cap", "The strategy would use {value} USD, more than its capital of {limit} USD."),
    Code.BELOW_USER_MINIMUM: (
        "cap",
        "The order is worth {value} USD, less than the user's own minimum of {limit} USD.",
    ),
    Code.COLLAR_LIMIT: (
        "collar",
        (
            "The limit price {price} is {distance} % away from the book ({reference}); at most {limit} % is "
            "allowed."
        ),
    ),
    Code.COLLAR_STOP: (
        "collar",
        (
            "The stop price {price} is {distance} % away from the book ({reference}); at most {limit} % is "
            "allowed."
        ),
    ),
    Code.COLLAR_MARKET: (
        "collar",
        (
            "The market order would trade {how} {distance} % away from {reference}; at most {limit} % is "
            "allowed. Split it or use a limit."
        ),
    ),
}

REFUSALS: Mapping[Code, Refusal] = MappingProxyType(
    {
        code: Refusal(code, kind, guard, sentence)
        for kind, says in (
            (VerdictKind.WAITING, _WAITING),
            (VerdictKind.HELD, _HELD),
            (VerdictKind.REJECTED, _REJECTED),
        )
        for code, (guard, sentence) in says.items()
    }
)
"""Every code with its kind, guard and sentence; `make refusals` prints it."""


def shown(text: str) -> str:
    """Make a text the bot wrote fit for a sentence, a log, a terminal: one short line, nothing invisible."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: SHOWN_LENGTH + 1])
    return clean if len(clean) <= SHOWN_LENGTH else clean[:SHOWN_LENGTH] + "…"


def _sentence(code: Code, values: Mapping[str, object]) -> str:
    texts = {
        name: plain(value) if isinstance(value, Decimal) and value.is_finite() else str(value)
        for name, value in values.items()
    }
    return REFUSALS[code].template.format_map(texts)


def wait(code: Code, **values: object) -> Waiting:
    """Build a *waiting* verdict; decimals are written plainly.

    Raises:
        ValueError: the table has the code under another kind.
        KeyError: a gap of the sentence was not filled.

    """
    _require(code, VerdictKind.WAITING)
    return Waiting(code, _sentence(code, values))


def hold(code: Code, **values: object) -> Held:
    """Build a *held* verdict; raises as `wait` does."""
    _require(code, VerdictKind.HELD)
    return Held(code, _sentence(code, values))


def reject(code: Code, **values: object) -> Rejected:
    """Build a *rejected* verdict; raises as `wait` does."""
    _require(code, VerdictKind.REJECTED)
    return Rejected(code, _sentence(code, values))


def _require(code: Code, kind: VerdictKind) -> None:
    if REFUSALS[code].kind is not kind:
        raise ValueError(f"{code} is a {REFUSALS[code].kind} verdict, not a {kind} one")
