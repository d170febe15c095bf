"""PROTOCOL 5: the USDS-M futures exchange's codes and messages, and what each means for an order just sent.

Every code of the exchange's list is here. Those that no order can bring about are `unknown`, should they come
all the same. The list itself is `exchange_codes.json`. Plain and conditional ("algo") orders share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.domain.answers_row import (
    BUSINESS,
    KEY_REFUSED,
    NOT_TAKEN,
    SERVER_ERRORS,
    Pause,
    Place,
    Row,
    numbers,
    refusals,
    uncertain,
)
from shared.domain.order import Market
from shared.domain.states import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable

CODES: Final = "Binance USDS-M Futures docs, Error Code"
GENERAL: Final = "Binance USDS-M Futures docs, General Info: HTTP 503"
SEEN: Final = "seen on production, 2026; not in the exchange's list"

_FAULT = "Report it with the order's id: the bridge should have built the request otherwise."

_REFUSED: Final = (
    ("invalid", "its checks refused it. The exchange's own text says why.", (-1013,)),
    ("combination", f"it does not support this combination of order fields. {_FAULT}", (-1014, -1020, -4020)),
    ("account", "it does not accept the account. Check the account at the exchange.", (-1109,)),
    ("precision", f"a price or quantity has too many decimals. {_FAULT}", (-1111,)),
    ("no_depth", "there are no orders to trade with. Try again later or with a limit price.", (-1112, -2020)),
    ("no_depth", "no price level of the book matches it. Try again later.", (-5041,)),
    ("symbol", "it does not know the symbol. Correct the row's symbol.", (-1108, -1110, -1121, -1126)),
    ("symbol_closed", "the symbol is not trading. Try again when it is.", (-1122, -4141)),
    ("symbol_closed", "the symbol is not open for new positions at the moment.", (-4140,)),
    ("balance", "the account has not enough balance for it. Lower the amount or add funds.", (-2018,)),
    ("margin", "the account has not enough margin for it. Lower the amount or add funds.", (-2019,)),
    ("triggers_at_once", "the stop price is already reached. Use a market order.", (-2021, -4142)),
    (
        "reduce_only",
        "a reduce-only order has nothing to reduce, or other open orders already do. Check the position.",
        (-2022, -2024, -4118),
    ),
    ("liquidation", "the account is being liquidated. Act at the exchange at once.", (-2023,)),
    ("max_orders", "too many orders are open. Cancel some.", (-2025,)),
    ("max_orders", "200 conditional orders are open. Cancel some.", (-4045,)),
    ("reduce_only_type", "this type of order cannot be reduce-only. Use another type.", (-2026,)),
    ("max_position", "the position would be too large at this leverage. Lower the amount.", (-2027,)),
    ("price", "the price is too high, too low or off the tick size.", (-4001, -4002, -4013, -4014)),
    ("quantity", "the quantity is too high, too low or off the step size.", (-4003, -4004, -4005, -4023)),
    ("stop_price", "the stop price is too high or too low. Correct the row.", (-4006, -4007, -4210, -4211)),
    ("percent_price", "the price is too far from the mark price.", (-4016, -4024, -4183, -4184)),
    (
        "percent_price",
        "the best price on the other side is too far from the mark price. Try later or with a limit price.",
        (-4131,),
    ),
    ("notional", "the order's value is too small. Raise the amount.", (-4164,)),
    (
        "position_mode",
        "the position side does not fit the account's position mode (one-way or hedge). Check the mode.",
        (-4060, -4061, -4062),
    ),
    ("reduce_only_account", "the account may only reduce positions at the moment.", (-4087, -4400, -4401)),
    ("reduce_only_account", "only orders that reduce are taken for this symbol at the moment.", (-4189,)),
    (
        "position_control",
        "its risk control takes no order of this side for the symbol at the moment.",
        (-4105, -4106, -4107),
    ),
    ("account", "the account may not place orders at the moment. Ask Binance's support why.", (-4088,)),
    ("account", "the futures account is inactive. Transfer any amount into it.", (-4109,)),
    ("account", "the account is in its cooling-off period.", (-4192,)),
    ("account", "the account's position mode is being synchronised. Try again later.", (-4531,)),
    ("region", "this product is not available in the account's region.", (-4402,)),
    ("agreement", "the TradFi-Perps agreement is not signed. Sign it at the exchange.", (-4411,)),
    ("fill_or_kill", "it could not be filled at once and whole, as a FOK order must be.", (-5021,)),
    ("would_take", "it would trade at once although it must not. Use another price.", (-5022,)),
    ("good_till_date", f"the time until which it is good is out of range. {_FAULT}", (-5040,)),
)

_MALFORMED: Final = numbers(
    "-1100 -1101 -1102 -1103 -1104 -1105 -1106 -1114 -1115 -1116 -1117 -1118 -1128 -1130 -1136 -4015 -4031 "
    "-4120 -4135 -4137 -4138 -4139 -5037 -5038 -5039"
)

_UNKNOWN: Final = (
    ("unknown_error", "an unknown error occurred while it processed the request.", -1000),
    ("internal_error", "an internal error on its side.", -1001),
    ("unexpected_response", "its message bus answered with something it did not expect.", -1006),
    ("engine_timeout", "its backend did not answer in time.", -1007),
    (
        "overloaded",
        "it throttles requests; such an answer was seen for an order that had been placed.",
        -1008,
    ),
    ("unlisted_message", "it gave a general error that says nothing about the order.", -1010),
    ("service_ended", "it says the service is no longer available and promises nothing.", -1016),
    ("unlisted_message", "it answered with a text that is not in its documentation.", -2010),
)
_NOT_FOR_ORDERS: Final = (
    numbers(
        "-1004 -1005 -1023 -1099 -1113 -1119 -1120 -1125 -1127"
    )  # queries, streams, the account's settings
    + numbers("-2011 -2012 -2013 -2016 -2028")  # cancel, query, leverage
    + numbers("-4000 -4008 -4009 -4010 -4011 -4012 -4017 -4018 -4019 -4021 -4022 -4032 -4033 -4044")
    + tuple(range(-4030, -4024))  # the exchange's own set-up
    + tuple(range(-4059, -4045))  # margin and position mode
    + tuple(range(-4086, -4062))  # position mode, options, batches
    + numbers("-4104 -4114 -4115 -4117 -4144 -4161 -4165 -4167 -4168 -4169 -4170 -4171 -4172")
    + numbers("-4202 -4203 -4205 -4206 -4208 -4209 -4403")  # leverage
    + numbers("-5024 -5025 -5026 -5027 -5029 -5043 -5047")  # modifying an order
)


def _rows() -> Iterable[Place]:
    futures = Market.FUTURES
    for reason, why, codes in _REFUSED:
        listed = CODES if not set(codes) & {-4105, -4189, -4411, -4531} else SEEN
        yield from refusals(futures, listed, f"exchange_{reason}", why, *codes, alarm=reason == "liquidation")
    for why, codes in (
        ("the API key or this machine's IP address may not do this. Correct the key.", (-1002, -1011)),
        ("the API keys of this account are locked. Unlock them at the exchange.", (-2017,)),
    ):
        yield from refusals(
            futures, CODES, "exchange_unauthorized", why, *codes, statuses=KEY_REFUSED, alarm=True
        )
    why = f"it could not read a field of the request. {_FAULT}"
    yield from refusals(futures, CODES, "exchange_malformed", why, *_MALFORMED, alarm=True)
    why = "the API key, its IP address or its permissions are not accepted. Correct the key in the account."
    yield from refusals(
        futures, CODES, "exchange_key", why, -2014, -2015, statuses=KEY_REFUSED, pause=Pause.KEY, alarm=True
    )
    why = "the signature is wrong: the secret does not belong to the API key. Correct the key in the account."
    yield from refusals(
        futures, CODES, "exchange_signature", why, -1022, statuses=KEY_REFUSED, pause=Pause.KEY, alarm=True
    )
    why = "it gave no reason. Check the order and the account at the exchange."
    yield from refusals(futures, CODES, "exchange_rejected", why, -2010, message="NEW_ORDER_REJECTED")
    why = "the base URL or the path is wrong. Check the base URL."
    yield from refusals(
        futures, "seen on futures demo, 2026", "exchange_path", why, -5000, statuses=(404,), alarm=True
    )
    yield Row(
        futures,
        (400,),
        -5028,
        None,
        AttemptOutcome.NOT_SENT,
        "clock",
        NOT_TAKEN + "it reached the matching engine after its deadline.",
        CODES,
        resync_clock=True,
    )
    yield from _uncertain_rows()


def _uncertain_rows() -> Iterable[Place]:
    futures = Market.FUTURES
    for reason, why, code in _UNKNOWN:
        yield from uncertain(futures, CODES, reason, why, code, statuses=(*BUSINESS, 408, *SERVER_ERRORS))
    why = "an order with this id is open there already, most likely this very one."
    yield from uncertain(futures, CODES, "duplicate_id", why, -4116, alarm=True)
    yield from uncertain(
        futures, CODES, "duplicate_id", why, -2010, message="Duplicate order sent.", alarm=True
    )
    yield from uncertain(
        futures,
        CODES,
        "not_for_orders",
        "this code is not one for a new order.",
        *_NOT_FOR_ORDERS,
        alarm=True,
    )
    # The numeric code beside these two texts is not documented, so the text alone decides; the second one to
    # the letter, because answers for restricted locations begin with the same words.
    yield from uncertain(
        futures,
        GENERAL,
        "unknown_error",
        "its backend did not answer in time.",
        None,
        message="Unknown error, please check your request or try again later.",
        statuses=(503,),
    )
    yield Row(
        futures,
        (503,),
        None,
        "Service Unavailable.",
        AttemptOutcome.NOT_SENT,
        "service_unavailable",
        NOT_TAKEN + "its futures service is unavailable.",
        GENERAL,
        exact=True,
    )


ROWS: Final = tuple(_rows())
"""What each of the futures exchange's codes means for an order just sent."""
