"""PROTOCOL 13: the mutations. Each takes one rule out of a forked executor, and some cell has to notice.

They replace functions and texts of statements in the process that asks for it, and nowhere else: no switch
for them exists in what is shipped. A text or a name that is not there any more is an error, never a mutation
that does nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

from services.order_executor import claim as claiming
from services.order_executor import intend as intending
from services.order_executor import quarantine, recheck, resolve, send
from services.order_executor.ask import Asker
from services.order_executor.cancel import Canceller
from shared import failpoints
from shared.binance import transport
from shared.binance.failures import OutcomeUnknown
from shared.binance.sign import signed_query
from shared.database import settle as settling
from shared.database.statements import statement
from shared.domain import settlement
from shared.domain.absence import Absent, QuestionKind, Result, Waits
from shared.domain.attempt import SigningWindow, client_order_id
from shared.domain.order import OrderStatus
from shared.domain.states import AttemptOutcome, EntryState

if TYPE_CHECKING:
    from collections.abc import Callable

_APPLY: dict[str, Callable[[], None]] = {}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule taken out.

    Args:
        name: as PROTOCOL 13 calls it.
        cells: names of the cells it is run on; every one of them is clean without it.

    """

    name: str
    cells: tuple[str, ...]


def apply(name: str) -> None:
    """Take a rule out of this process."""
    _APPLY[name]()


def _mutation(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(change: Callable[[], None]) -> Callable[[], None]:
        _APPLY[name] = change
        return change

    return register


def _replace(owner: Any, name: str, value: object) -> None:
    """Put something else in a name's place; the name has to be there."""
    if not hasattr(owner, name):
        raise ValueError(f"{owner} has no {name} any more")
    setattr(owner, name, value)


def _now(owner: Any, name: str) -> Any:
    """Return what a name means now."""
    return getattr(owner, name)


def _in_statement(name: str, *changes: tuple[str, str]) -> None:
    """Change the text of a statement, wherever it is asked for in this process."""
    text = statement(name)
    for old, new in changes:
        if text.count(old) != 1:
            raise ValueError(f"{name}.sql holds {text.count(old)} times: {old}")
        text = text.replace(old, new)

    def changed(asked: str) -> str:
        return text if asked == name else statement(asked)

    for module in list(sys.modules.values()):
        if getattr(module, "statement", None) is statement and module.__name__ != __name__:
            module.statement = changed  # type: ignore[attr-defined]


@_mutation("sign at send")
def sign_at_send() -> None:
    """The timestamp is made when the request leaves, so that no request is ever stale."""

    async def post(self: Any, order: Any) -> Any:
        await failpoints.reached("send.before")
        venue, credentials = order.prepared.venue, order.prepared.credentials
        # A frozen process has to learn the time anew before it can sign with it.
        await venue.rest.server_time()
        params = {**dict(parse_qsl(order.intent.parameters)), "timestamp": venue.rest.clock.exchange_now_ms()}
        return await venue.rest.place_order(signed_query(params, credentials), credentials.api_key)

    _replace(send.Sender, "_post", post)


@_mutation("no wait before asking")
def no_wait_before_asking() -> None:
    """The questions are asked as if deadline, engine and lag were long over."""
    judge = _now(resolve, "judge")

    def hasty(attempt: Any, asker: Any, questions: Any, stream: Any, now_ms: int, waits: Waits) -> Any:
        window = SigningWindow(attempt.window.signed_at_ms - 60_000, attempt.window.recv_window_ms)
        none = replace(waits, engine_delay_ms=0, query_lag_ms=0, gap_wait_ms=0)
        return judge(replace(attempt, window=window), asker, questions, stream, now_ms, none)

    _replace(resolve, "judge", hasty)


@_mutation("one early -2013 suffices")
def one_early_2013_suffices() -> None:
    """A single "does not exist" is taken for an absence."""
    judge = _now(resolve, "judge")

    def gullible(attempt: Any, asker: Any, questions: Any, *rest: Any) -> Any:
        if any(q.kind is QuestionKind.ORDER and q.result is Result.EMPTY for q in questions):
            return Absent()
        return judge(attempt, asker, questions, *rest)

    _replace(resolve, "judge", gullible)


@_mutation("failed query counts as absence")
def failed_query_counts_as_absence() -> None:
    """A question without an answer is taken for an empty one."""
    ask = Asker.ask

    async def optimistic(self: Asker, *question: Any) -> Any:
        told, asked_ms = await ask(self, *question)
        return (replace(told, result=Result.EMPTY) if told.result is Result.FAILED else told), asked_ms

    _replace(Asker, "ask", optimistic)


@_mutation("lease expiry means resend")
def lease_expiry_means_resend() -> None:
    """A worker that was not heard of is taken for one that never sent."""
    _in_statement(
        "expire_leases",
        ("SET state = 'unknown', token", "SET state = 'backoff', token"),
        ("SET outcome = 'unknown',", "SET outcome = 'not_sent',"),
    )


@_mutation("settle without token and state")
def settle_without_token_and_state() -> None:
    """Whoever says something last is believed."""
    decide = settlement.with_outcome

    def believing(line: Any, outcome: Any) -> Any:
        entered = replace(
            line,
            entry_state=EntryState.UNKNOWN,
            has_evidence=False,
            token=outcome.token,
            entry_attempts=outcome.number,
            outcome=line.outcome if line.outcome is AttemptOutcome.UNKNOWN else None,
        )
        return decide(entered, outcome)

    _replace(settling, "with_outcome", believing)


@_mutation("HTTP layer re-sends once")
def http_layer_resends_once() -> None:
    """The transport repeats a request that was not answered."""
    handle = transport.BinanceTransport.handle_async_request

    async def stubborn(self: Any, request: Any) -> Any:
        try:
            return await handle(self, request)
        except OutcomeUnknown:
            return await handle(self, request)

    _replace(transport.BinanceTransport, "handle_async_request", stubborn)


@_mutation("attempt row after the POST")
def attempt_row_after_the_post() -> None:
    """First the order is sent, then the attempt is written down."""
    intend, claim, post = claiming.Claimer._intend, _now(claiming, "claim"), send.Sender._post
    intended: dict[UUID, tuple[Any, Any]] = {}
    answers: dict[UUID, Any] = {}

    def remembered(self: Any, order: Any) -> Any:
        made = intend(self, order)
        intended[made.intent.token] = (self._sender, made)
        return made

    async def claim_afterwards(connection: Any, intents: Any, *rest: Any, **more: Any) -> Any:
        for intent in intents:
            answers[intent.token] = await post(*intended[intent.token])
            await failpoints.reached("send.answered")
        return await claim(connection, intents, *rest, **more)

    async def answered(_: Any, order: Any) -> Any:
        return answers.pop(order.intent.token)

    _replace(claiming.Claimer, "_intend", remembered)
    _replace(claiming, "claim", claim_afterwards)
    _replace(send.Sender, "_post", answered)


@_mutation("claim without re-checking the row")
def claim_without_rechecking_the_row() -> None:
    """What was peeked at is claimed, whatever the row says by now.

    Nor does a sweep that woke together with the claim close the cancelled row before it: that would be luck.
    """
    _in_statement(
        "claim",
        ("       AND o.status::text = CASE i.number WHEN 1 THEN 'pending' ELSE 'open' END\n", ""),
        ("CASE WHEN i.announced IS NULL THEN o.xmin::text = i.row_xmin AND", "CASE WHEN true THEN true OR"),
        (
            "     WHERE o.id = p.order_id AND p.number = 1 AND o.status::text = 'pending'\n",
            "     WHERE o.id = p.order_id\n",
        ),
    )
    claim, look = _now(claiming, "claim"), Canceller.look
    claims: list[object] = []

    async def noted(*arguments: Any, **more: Any) -> Any:
        claims.append(await claim(*arguments, **more))
        return claims[-1]

    async def look_later(self: Canceller) -> None:
        if claims:
            await look(self)

    _replace(claiming, "claim", noted)
    _replace(Canceller, "look", look_later)


@_mutation("retry ignores a cancel")
def retry_ignores_a_cancel() -> None:
    """What was proven not sent is sent again although the bot has cancelled it meanwhile."""
    decide = settlement.with_outcome

    def blind(line: Any, outcome: Any) -> Any:
        if line.order_status is OrderStatus.CANCELED:
            line = replace(line, order_status=OrderStatus.OPEN)
        return decide(line, outcome)

    _replace(settling, "with_outcome", blind)


@_mutation("sequential tokens")
def sequential_tokens() -> None:
    """Tokens are counted in the database, so that a failover issues them again."""

    def counted(intent_of: Any) -> Any:
        def intend(self: Any, order: Any) -> Any:
            made = intent_of(self, order)
            number = (made.intent.entry_id << 4) + made.intent.number
            return replace(made, intent=replace(made.intent, token=UUID(int=number)))

        return intend

    _replace(claiming.Claimer, "_intend", counted(claiming.Claimer._intend))


@_mutation("random ids")
def random_ids() -> None:
    """The client order id cannot be computed from the row."""

    def anyhow(order_id: UUID, number: int) -> str:
        return client_order_id(UUID(int=uuid4().int), number)

    _replace(intending, "client_order_id", anyhow)


@_mutation("no quarantine")
def no_quarantine() -> None:
    """After a change of the database the rows are asked about at once."""
    look = quarantine.EpochWatch.look

    async def hasty(self: Any) -> Any:
        self._quarantine = timedelta(0)
        return await look(self)

    _replace(quarantine.EpochWatch, "look", hasty)


@_mutation("only the known ids are asked for")
def only_the_known_ids() -> None:
    """After a change of the database a row is asked for under the id of its next attempt only."""
    adopt = recheck.Recheck._adopt

    def narrow(self: Any, venue: Any, instrument: Any, rows: Any, orders: Any) -> Any:
        ids = {client_order_id(row.order_id, row.attempts + 1) for row in rows}
        return adopt(self, venue, instrument, rows, [o for o in orders if o["clientOrderId"] in ids])

    _replace(recheck.Recheck, "_adopt", narrow)


@_mutation("duplicate id taken as rejected")
def duplicate_id_taken_as_rejected() -> None:
    """The words "Duplicate order sent." are believed to say that nothing of ours is there."""
    classify = _now(send, "classify")

    def literal(market: Any, status: int, body: Any, *rest: Any, **more: Any) -> Any:
        said = classify(market, status, body, *rest, **more)
        if isinstance(body, dict) and "Duplicate order" in str(body.get("msg")):
            return replace(said, outcome=AttemptOutcome.REJECTED)
        return said

    _replace(send, "classify", literal)
