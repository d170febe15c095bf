"""The exchange, as one verb asks it about one account, with that account's key."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from services.command_line.terminal import CommandError, ExitCode, clean
from shared.binance import ask
from shared.binance.ask import FULL_PAGE
from shared.binance.clock_offset import Clock
from shared.binance.rest import Answer
from shared.binance.transport import BinanceTransport
from shared.crypto import forbid_core_dumps
from shared.domain.absence import QuestionKind
from shared.domain.classify import Expected, QueryOutcome, classify_query, find_order
from shared.domain.symbol import Instrument, parse_instruments
from shared.keys import Keys, KeyUnreadableError
from shared.settings import EncryptionSettings, ExchangeSettings, ProtocolSettings, load
from shared.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from shared.binance.ask import MarketRest
    from shared.binance.sign import Credentials
    from shared.database.accounts import StoredAccount
    from shared.domain.order import Market

LISTS = (QuestionKind.OPEN_ORDERS, QuestionKind.ALL_ORDERS)
CONDITIONAL_LISTS = (QuestionKind.OPEN_ALGO_ORDERS, QuestionKind.ALL_ALGO_ORDERS)


class NotAskedError(CommandError):
    """The exchange could not be asked at all: it does not answer, or the account's key does not open."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking for one order brought.

    Attributes:
        order: as the exchange shows it; None = not shown.
        answered: every question was answered, so that `order is None` means: not visible now.
        why: a sentence.

    """

    order: Mapping[str, Any] | None
    answered: bool
    why: str


@dataclass(frozen=True, slots=True)
class Access:
    """One account at one market of the exchange.

    Attributes:
        account: whose key it is.
        market: spot or futures.
        credentials: the key.
        rest: where to ask; its clock is known.
        exchange_now_ms: the exchange's time when the access was opened.

    """

    account: StoredAccount
    market: Market
    credentials: Credentials
    rest: MarketRest
    exchange_now_ms: int

    async def instrument(self, symbol: str) -> Instrument:
        """Find what the row's symbol means.

        Raises:
            CommandError: the exchange does not answer or does not know it.

        """
        answer = await self.rest.exchange_info()
        if not isinstance(answer, Answer) or not answer.ok:
            raise CommandError(
                f"{self.rest.base_url} did not tell its symbols; try again.", ExitCode.UNREACHABLE
            )
        found = parse_instruments(self.market, answer.body).resolve(symbol)
        if not isinstance(found, Instrument):
            raise CommandError(found.sentence, ExitCode.REFUSED)
        return found

    async def look_for(
        self, symbol: str, client_order_id: str, *, since_ms: int | None = None, conditional: bool = False
    ) -> Looked:
        """Look for an order by its client id: by itself and, given a time, in the lists of its symbol.

        Args:
            symbol: as the exchange writes it.
            client_order_id: of the order.
            since_ms: look through the orders since then too, exchange's clock.
            conditional: it is one of the algo service, or what such an order became.

        """
        expected = Expected(client_order_id, symbol)
        rest, credentials = self.rest, self.credentials
        questions = [partial(ask.order, rest, credentials, expected, conditional=conditional)]
        if since_ms is not None:
            kinds = LISTS + (CONDITIONAL_LISTS if conditional else ())
            questions += [partial(ask.put, rest, credentials, kind, expected, since_ms) for kind in kinds]
        unanswered = ""
        for question in questions:
            answer = await question()
            if not isinstance(answer, Answer):
                unanswered = unanswered or answer.detail
                continue
            told = classify_query(self.market, answer.status, answer.body, expected, full_page=FULL_PAGE)
            if told.outcome is QueryOutcome.FOUND:
                order = answer.body if isinstance(answer.body, dict) else find_order(answer.body, expected)
                assert order is not None
                return Looked(order, answered=True, why=_sentence(order))
            if told.outcome is not QueryOutcome.EMPTY:
                unanswered = unanswered or told.sentence
        if unanswered:
            return Looked(None, answered=False, why=unanswered)
        return Looked(None, answered=True, why="the exchange does not show it")

    async def look_for_number(self, symbol: str, exchange_order_id: int) -> Looked:
        """Look for an order by the exchange's own id."""
        answer = await self.rest.order(self.credentials, symbol, order_id=exchange_order_id)
        if not isinstance(answer, Answer):
            return Looked(None, answered=False, why=answer.detail)
        if answer.ok and isinstance(answer.body, dict) and answer.body.get("symbol") == symbol:
            return Looked(answer.body, answered=True, why=_sentence(answer.body))
        told = classify_query(self.market, answer.status, answer.body, Expected("", symbol))
        return Looked(None, answered=told.outcome is QueryOutcome.EMPTY, why=told.sentence)

    async def trades(self, symbol: str, exchange_order_id: str) -> list[Mapping[str, Any]] | None:
        """Return the trades of one order; None when they were not told."""
        answer = await self.rest.my_trades(self.credentials, symbol, order_id=int(exchange_order_id))
        if isinstance(answer, Answer) and answer.ok and isinstance(answer.body, list):
            return answer.body
        return None


def _sentence(order: Mapping[str, Any]) -> str:
    if "algoId" in order:
        return clean(f"conditional order {order['algoId']} is {order.get('algoStatus')}")
    return clean(f"order {order.get('orderId')} is {order.get('status')}")


def unsealed(account: StoredAccount) -> Credentials:
    """Decrypt an account's key.

    Raises:
        NotAskedError: it does not open.

    """
    forbid_core_dumps()
    try:
        return Keys(load(EncryptionSettings).keyring(), Redactor()).of(account.id, account)
    except KeyUnreadableError as error:
        raise NotAskedError(f"The key of account {account.id} does not open: {error}.") from None


def base_url_of(account: StoredAccount, market: Market) -> str:
    """Return where the orders of an account go."""
    return load(ExchangeSettings).endpoints(market, testnet=account.is_testnet).rest


@asynccontextmanager
async def access(account: StoredAccount, market: Market) -> AsyncIterator[Access]:
    """Open a market of the exchange for one account; its clock is known then.

    Raises:
        NotAskedError: the key does not open, or the exchange does not answer.

    """
    credentials = unsealed(account)
    async with BinanceTransport() as transport:
        recv_window_ms = load(ProtocolSettings).recv_window_ms
        rest = ask.market_rest(market, transport, base_url_of(account, market), Clock(), recv_window_ms)
        answer = await rest.server_time()
        if not rest.clock.known:
            why = f"HTTP {answer.status}" if isinstance(answer, Answer) else answer.detail
            raise NotAskedError(
                f"{rest.base_url} does not answer ({why}); try again, or check "
                f"BRIDGE_{market.upper()}_*_REST_URL.",
                ExitCode.UNREACHABLE,
            )
        yield Access(account, market, credentials, rest, rest.clock.exchange_now_ms())
