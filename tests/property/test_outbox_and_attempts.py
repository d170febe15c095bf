"""PROTOCOL 3, 6, 7 and 12 under any order of events: several workers, a real database, a virtual clock.

Hypothesis drives the real statements: workers that peek, claim, freeze, send and settle late or twice; a bot
that inserts and cancels; leases that run out; a resolver whose questions fail or are answered by a store that
lags. Time is virtual: the stored moments are moved back instead of waiting. After every step the database and
the modelled exchange are compared.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.database import cancels, leases, unknowns
from shared.database.connect import open_pool
from shared.database.settle import settle
from shared.domain import absence
from shared.domain.absence import Absent, AskNext, Identity, Question, Result, Stream, judge
from shared.domain.attempt import SigningWindow
from shared.domain.settlement import OrderReport, Outcome
from shared.domain.states import AttemptOutcome, ExchangeStatus
from tests.intended import LEASE, claim, epoch_of, intend, peek
from tests.property.modelled_exchange import RECV_WINDOW_MS, WAITS, Exchange, Order, Post

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from uuid import UUID

    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    from shared.database.claim import Intent
    from shared.database.connect import Connection, Pool
    from shared.database.epoch import Epoch
    from shared.database.outbox import ReadyEntry
    from shared.database.settle import Finding
    from shared.database.unknowns import UnknownAttempt
    from tests.bot import Bot

T = TypeVar("T")

WORKERS = 3
SYMBOLS = ("BTC/USDT", "ETH/USDT")
LIVE_OR_PERHAPS = (None, "unknown", "accepted")
MOMENTS = {
    "outbox": ("lease_until", "not_before", "age_from", "created_at", "changed_at"),
    "attempt": ("claimed_at", "settled_at", "cancel_sent_at"),
}
ROW_STATUS = {
    "new": {"pending", "canceled"},
    "sending": {"open", "canceled"},
    "unknown": {"open", "canceled"},
    "backoff": {"open", "canceled"},
    "submitted": {"open", "partial", "canceled"},
    "done": {"filled", "canceled", "expired", "rejected"},
}

index = st.integers(0, 7)
worker = st.integers(0, WORKERS - 1)


@dataclass
class Surroundings:
    """What all examples share: a database, the bot, a connection per worker."""

    runner: asyncio.Runner
    connections: Sequence[Connection]
    bot: Bot
    epoch: Epoch

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


class Protocol(RuleBasedStateMachine):
    """Every rule is something that may happen at any moment; none of them may break an invariant."""

    around: Surroundings

    @initialize()
    def begin(self) -> None:
        user = self.around.bot.user()
        self.account = (user, self.around.bot.account(user))
        self.exchange = Exchange(self.account[1])
        self.peeked: list[list[ReadyEntry]] = [[] for _ in range(WORKERS)]
        self.to_send: list[Intent] = []
        self.words: list[Finding] = []
        self.rows: list[UUID] = []
        self.accepted: set[tuple[UUID, int]] = set()

    # What the bot does

    @precondition(lambda self: len(self.rows) < 5)
    @rule(symbol=st.sampled_from(SYMBOLS))
    def bot_inserts(self, symbol: str) -> None:
        amount = Decimal(len(self.rows) + 10)
        self.rows.append(self.around.bot.order(*self.account, symbol=symbol, amount=amount))

    @precondition(lambda self: self.rows)
    @rule(which=index)
    def bot_cancels(self, which: int) -> None:
        self.around.bot.cancel(self.rows[which % len(self.rows)])

    # What the workers do

    @rule(who=worker)
    def worker_peeks(self, who: int) -> None:
        self.peeked[who] = self._run(
            peek(self.around.connections[who], accounts=[self.account[1]], twin_window=timedelta(0))
        )

    @precondition(lambda self: any(self.peeked))
    @rule(who=worker)
    def worker_claims(self, who: int) -> None:
        self.to_send += self._run(self._claim(who))

    @rule()
    def all_workers_claim_at_once(self) -> None:
        async def rush() -> list[list[Intent]]:
            return list(await asyncio.gather(*(self._claim(who) for who in range(WORKERS))))

        for who in range(WORKERS):
            self.worker_peeks(who)
        for claimed in self._run(rush()):
            self.to_send += claimed

    async def _claim(self, who: int) -> list[Intent]:
        intents = [intend(entry, signed_at_ms=self.exchange.now_ms) for entry in self.peeked[who]]
        self.peeked[who] = []
        mine = await claim(self.around.connections[who], intents, self.around.epoch)
        return [intent for intent in intents if intent.order_id in mine]

    @precondition(lambda self: self.to_send)
    @rule(
        which=index,
        fate=st.sampled_from(("accepted", "rejected", "not_sent", "answer_lost", "delayed", "lost", "dies")),
        lag_ms=st.sampled_from((0, WAITS.query_lag_ms)),
    )
    def worker_sends(self, which: int, fate: str, lag_ms: int) -> None:
        """Send once, however long after the claim; a worker that was frozen does not know that it is late."""
        intent = self.to_send.pop(which % len(self.to_send))
        post = Post(intent.order_id, intent.number, self.signed_at_ms(intent))
        if fate == "dies":
            return
        if fate == "not_sent" or not self.exchange.takes(post):
            self._say(intent, AttemptOutcome.NOT_SENT)
        elif fate == "rejected":
            self._say(intent, AttemptOutcome.REJECTED)
        elif fate == "accepted":
            order = self.exchange.enter(post, lag_ms)
            self.words.append(self.exchange.report(order, intent.symbol, "answer"))
        else:
            if fate == "answer_lost":
                self.exchange.enter(post, lag_ms)
            elif fate == "delayed":
                self.exchange.on_the_way.append(post)
            self._say(intent, AttemptOutcome.UNKNOWN)

    def signed_at_ms(self, intent: Intent) -> int:
        """The timestamp that was stored with the attempt."""
        return intent.signed_at_ms

    def _say(self, of: Intent | UnknownAttempt, outcome: AttemptOutcome) -> None:
        self.words.append(Outcome(of.order_id, of.number, of.token, outcome, "said", "Said so."))

    @precondition(lambda self: self.words)
    @rule(which=index, who=worker, again=st.booleans())
    def somebody_settles(self, which: int, who: int, again: bool) -> None:
        """Settle any word that was not settled yet, out of order; some are told again much later."""
        at = which % len(self.words)
        word = self.words[at] if again else self.words.pop(at)
        self._run(settle(self.around.connections[who], [self._run(self.about_to_settle(word))]))

    async def about_to_settle(self, word: Finding) -> Finding:
        return word

    @precondition(lambda self: len(self.words) > 1)
    @rule()
    def two_settle_everything_at_once(self) -> None:
        async def both() -> None:
            first, second = self.around.connections[:2]
            await asyncio.gather(settle(first, self.words), settle(second, self.words[::-1]))

        self._run(both())
        self.words.clear()

    @rule()
    def leases_run_out(self) -> None:
        self._run(self.expire())

    async def expire(self) -> list[UUID]:
        return await leases.expire(self.around.connections[0], [self.account[1]])

    @rule()
    def sweep(self) -> None:
        self._run(cancels.close_unsent(self.around.connections[0], [self.account[1]]))

    @rule()
    def cancel_at_the_exchange(self) -> None:
        again = timedelta(seconds=5)
        wanted = self._run(
            cancels.take_cancels(self.around.connections[0], again_after=again, accounts=[self.account[1]])
        )
        for cancel in wanted:
            order = self.exchange.orders.get((cancel.order_id, cancel.number))
            if order is not None and not order.status.is_terminal:
                order.status = ExchangeStatus.CANCELED
                self.words.append(self.exchange.report(order, cancel.symbol, "answer"))

    # What the resolver does

    @rule(who=worker, answered=st.booleans(), listening=st.booleans())
    def resolver_asks(self, who: int, answered: bool, listening: bool) -> None:
        self._run(self._resolve(self.around.connections[who], answered=answered, listening=listening))

    async def _resolve(self, connection: Connection, *, answered: bool, listening: bool) -> None:
        taken = await unknowns.take_unknown(
            connection, owner="resolver", lease=LEASE, accounts=[self.account[1]]
        )
        for attempt in taken:
            wait: timedelta | None = timedelta(0)
            while wait == timedelta(0):
                wait = await self._ask(connection, attempt, answered=answered, listening=listening)
            await unknowns.look_again_after(connection, attempt.token, wait=wait or LEASE)

    async def _ask(
        self, connection: Connection, attempt: UnknownAttempt, *, answered: bool, listening: bool
    ) -> timedelta | None:
        """Do the next thing about an unknown attempt; None when there is a word to settle."""
        now_ms = self.exchange.now_ms
        questions = await unknowns.asked_so_far(connection, attempt.order_id, attempt.number)
        identity = Identity(attempt.api_key_hash, None, attempt.base_url, attempt.epoch)
        stream = Stream(0, now_ms) if listening else None
        window = SigningWindow(attempt.signed_at_ms, RECV_WINDOW_MS)
        match self.judge(absence.UnknownAttempt(window, identity), identity, questions, stream):
            case AskNext(kind, not_before_ms):
                if now_ms <= not_before_ms:
                    return timedelta(milliseconds=not_before_ms - now_ms + 1)
                result, order = Result.FAILED, None
                if answered:
                    result, order = self.exchange.answer(attempt.order_id, attempt.number, kind)
                question = Question(kind, result, identity, now_ms)
                await unknowns.store_question(connection, attempt.order_id, attempt.number, question, "")
                if order is not None:
                    self.words.append(self.exchange.report(order, attempt.symbol, "query"))
                    return None
                return timedelta(seconds=2) if result is Result.FAILED else timedelta(0)
            case Absent():
                self.words.append(
                    Outcome(
                        attempt.order_id,
                        attempt.number,
                        attempt.token,
                        AttemptOutcome.ABSENT,
                        "absent",
                        "No.",
                    )
                )
                return None
        return timedelta(seconds=2)

    def judge(
        self,
        attempt: absence.UnknownAttempt,
        asker: Identity,
        questions: Sequence[Question],
        stream: Stream | None,
    ) -> absence.Verdict:
        return judge(attempt, asker, questions, stream, self.exchange.now_ms, WAITS)

    # What the exchange and the clock do

    @precondition(lambda self: self.exchange.on_the_way)
    @rule(which=index, lag_ms=st.sampled_from((0, WAITS.query_lag_ms)))
    def delayed_request_arrives(self, which: int, lag_ms: int) -> None:
        post = self.exchange.on_the_way.pop(which % len(self.exchange.on_the_way))
        self.exchange.enter(post, lag_ms)

    @precondition(lambda self: self._resting())
    @rule(which=index, quantity=st.sampled_from((Decimal("0.4"), Decimal(1))))
    def order_trades(self, which: int, quantity: Decimal) -> None:
        order = self._resting()[which % len(self._resting())]
        order.executed = min(Decimal(1), order.executed + quantity)
        order.status = ExchangeStatus.FILLED if order.executed == 1 else ExchangeStatus.PARTIALLY_FILLED

    @precondition(lambda self: self.exchange.orders)
    @rule(which=index)
    def stream_tells(self, which: int) -> None:
        orders = list(self.exchange.orders.values())
        order = orders[which % len(orders)]
        self.words.append(self._told(order))

    @rule(seconds=st.sampled_from((2, 6, 31, 65, 400)))
    def time_passes(self, seconds: int) -> None:
        self.exchange.let_time_pass(1000 * seconds)
        self._run(self._move_moments(timedelta(seconds=seconds)))

    async def _move_moments(self, by: timedelta) -> None:
        for table, moments in MOMENTS.items():
            earlier = ", ".join(f"{moment} = {moment} - $2::interval" for moment in moments)
            await self.around.connections[0].execute(
                f"UPDATE bridge.{table} SET {earlier} WHERE account_id = $1", self.account[1], by
            )

    # What must hold after every step

    @invariant()
    def one_order_for_a_row(self) -> None:
        rows = [order_id for order_id, _ in self.exchange.orders]
        assert len(rows) == len(set(rows)), "two orders of one row at the exchange"

    @invariant()
    def database_keeps_the_protocol(self) -> None:
        if not self.rows:
            return
        entries, attempts = self._run(self._stored())
        live = [(a["order_id"], a["number"]) for a in attempts if a["outcome"] in LIVE_OR_PERHAPS]
        assert len({order_id for order_id, _ in live}) == len(live), "two attempts that may be orders"
        accepted = {(a["order_id"], a["number"]) for a in attempts if a["outcome"] == "accepted"}
        assert self.accepted <= accepted, "an attempt left accepted"
        self.accepted = accepted
        assert accepted <= self.exchange.orders.keys(), "accepted, and not at the exchange"
        assert not [a for a in attempts if a["late"]], "settled as not existing, and found"
        for entry in entries:
            assert entry["status"] in ROW_STATUS[entry["state"]], dict(entry)
            if entry["state"] == "done" and entry["attempts"] and not entry["has_evidence"]:
                mine = [key for key in self.exchange.orders if key[0] == entry["order_id"]]
                assert not mine, f"said to be {entry['status']}, and it is at the exchange"

    async def _stored(self) -> tuple[list[Any], list[Any]]:
        connection = self.around.connections[0]
        entries = await connection.fetch(
            "SELECT e.order_id, e.state, e.attempts, e.has_evidence, o.status::text AS status, "
            "o.filled_amount FROM bridge.outbox AS e JOIN public.orders AS o ON o.id = e.order_id "
            "WHERE e.account_id = $1",
            self.account[1],
        )
        attempts = await connection.fetch(
            "SELECT order_id, number, outcome, late FROM bridge.attempt WHERE account_id = $1",
            self.account[1],
        )
        return entries, attempts

    def teardown(self) -> None:
        """Let it recover: with answers, every row that was claimed ends as one order or as none."""
        if not getattr(self, "rows", None):
            return
        self.to_send.clear()
        self.words.clear()
        for _ in range(12):
            self.time_passes(70)
            self.leases_run_out()
            self.resolver_asks(0, answered=True, listening=True)
            self.words += [self._told(order) for order in self.exchange.orders.values()]
            self._run(settle(self.around.connections[0], self.words))
            self.words.clear()
            self.sweep()
            self.database_keeps_the_protocol()
        for entry in self._run(self._stored())[0]:
            assert entry["state"] not in ("sending", "unknown"), dict(entry)
            orders = [order for key, order in self.exchange.orders.items() if key[0] == entry["order_id"]]
            assert bool(orders) == entry["has_evidence"], dict(entry)
            if orders:
                assert entry["state"] == ("done" if orders[0].status.is_terminal else "submitted")
                assert entry["filled_amount"] == orders[0].executed

    def _resting(self) -> list[Order]:
        return [order for order in self.exchange.orders.values() if not order.status.is_terminal]

    def _told(self, order: Order) -> OrderReport:
        symbol = self._run(
            self.around.connections[0].fetchval(
                "SELECT bridge.key_symbol(symbol) FROM public.orders WHERE id = $1", order.order_id
            )
        )
        return self.exchange.report(order, symbol, "stream")

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.around.run(work)


# Rules of PROTOCOL 13, each left out once: the machine has to notice.


class SignedAtSend(Protocol):
    """A worker that was frozen signs when it wakes."""

    def signed_at_ms(self, intent: Intent) -> int:
        return self.exchange.now_ms


class LeaseExpiryMeansResend(Protocol):
    """What nobody was heard of is taken as not sent."""

    async def expire(self) -> list[UUID]:
        expired = await super().expire()
        rows = await self.around.connections[0].fetch(
            "SELECT order_id, attempts, token FROM bridge.outbox WHERE order_id = ANY ($1)", expired
        )
        self.words += [
            Outcome(row["order_id"], row["attempts"], row["token"], AttemptOutcome.NOT_SENT, "expired", "No.")
            for row in rows
        ]
        return expired


class OneEarlyAnswerSuffices(Protocol):
    """The first empty answer is taken as absence."""

    def judge(
        self,
        attempt: absence.UnknownAttempt,
        asker: Identity,
        questions: Sequence[Question],
        stream: Stream | None,
    ) -> absence.Verdict:
        if any(question.result is Result.EMPTY for question in questions):
            return Absent()
        return super().judge(attempt, asker, questions, stream)


class FailedQuestionIsAnAnswer(Protocol):
    """A question that was not answered counts as empty."""

    def judge(
        self,
        attempt: absence.UnknownAttempt,
        asker: Identity,
        questions: Sequence[Question],
        stream: Stream | None,
    ) -> absence.Verdict:
        return super().judge(attempt, asker, [replace(q, result=Result.EMPTY) for q in questions], stream)


class SettledWithoutTokenAndNumber(Protocol):
    """Whatever is said is taken to be about the attempt that is under way now."""

    async def about_to_settle(self, word: Finding) -> Finding:
        if isinstance(word, OrderReport):
            return word
        row = await self.around.connections[0].fetchrow(
            "SELECT e.token, e.attempts FROM bridge.outbox AS e JOIN bridge.attempt AS a "
            "ON a.order_id = e.order_id AND a.number = e.attempts "
            "WHERE e.order_id = $1 AND (a.outcome = 'unknown' OR $2 <> 'absent')",
            word.order_id,
            word.outcome,
        )
        if row is None or row["token"] is None:
            return word
        return replace(word, token=row["token"], number=row["attempts"])


CHEAP = settings(
    deadline=None,
    max_examples=20,
    stateful_step_count=30,
    database=None,
    derandomize=True,  # what CI sees once it sees again
    phases=[Phase.generate],  # making a failure smaller takes minutes; thirty steps are read as they are
    suppress_health_check=list(HealthCheck),
)


async def _acquired(pool: Pool) -> list[PoolConnectionProxy[asyncpg.Record]]:
    return [await pool.acquire() for _ in range(WORKERS)]


@pytest.fixture
def around(bridge_database: str, bot: Bot) -> Iterator[Surroundings]:
    with asyncio.Runner() as runner:
        pool = runner.run(open_pool(bridge_database, size=WORKERS, application_name="test"))
        connections = runner.run(_acquired(pool))
        try:
            yield Surroundings(runner, connections, bot, runner.run(epoch_of(connections[0])))
        finally:
            for connection in connections:
                runner.run(pool.release(connection))
            runner.run(pool.close())


def test_no_order_of_events_breaks_the_protocol(around: Surroundings) -> None:
    """Whatever happens in whatever order, a row has one order or none, and the database says which."""
    machine = type("Events", (Protocol,), {"around": around})
    run_state_machine_as_test(machine, settings=CHEAP)


def settle_all(machine: Protocol) -> None:
    while machine.words:
        machine.somebody_settles(0, 0, again=False)


def next_attempt(machine: Protocol, fate: str, lag_ms: int = 0) -> None:
    """Let a row come to its next attempt, where it has one."""
    machine.time_passes(6)
    machine.all_workers_claim_at_once()
    if machine.to_send:
        machine.worker_sends(len(machine.to_send) - 1, fate, lag_ms)


def ask_for_minutes(machine: Protocol, *, answered: bool = True) -> None:
    for _ in range(8):
        machine.time_passes(65)
        machine.resolver_asks(0, answered=answered, listening=True)
        settle_all(machine)


def frozen_worker(machine: Protocol) -> None:
    """A worker sleeps between claim and first byte until its attempt was judged absent and made again."""
    machine.all_workers_claim_at_once()
    machine.time_passes(31)
    machine.leases_run_out()
    ask_for_minutes(machine)
    next_attempt(machine, "accepted")
    machine.worker_sends(0, "accepted", 0)


def dead_worker(machine: Protocol) -> None:
    """A worker dies after its request was accepted."""
    next_attempt(machine, "answer_lost")
    machine.words.clear()
    machine.time_passes(31)
    machine.leases_run_out()
    settle_all(machine)
    next_attempt(machine, "accepted")


def lagging_store(machine: Protocol) -> None:
    """The answer is lost, and the order becomes visible to queries only after the first of them."""
    next_attempt(machine, "answer_lost", WAITS.query_lag_ms)
    settle_all(machine)
    for _ in range(3):
        machine.resolver_asks(0, answered=True, listening=True)
        machine.time_passes(6)
    settle_all(machine)
    next_attempt(machine, "accepted")


def unanswered_questions(machine: Protocol) -> None:
    """The answer is lost, and no question is answered."""
    next_attempt(machine, "answer_lost")
    settle_all(machine)
    ask_for_minutes(machine, answered=False)
    next_attempt(machine, "accepted")


def late_word(machine: Protocol) -> None:
    """A worker repeats what became of the first attempt while the second is unknown."""
    next_attempt(machine, "not_sent")
    machine.somebody_settles(0, 0, again=True)
    next_attempt(machine, "answer_lost")
    machine.somebody_settles(1, 0, again=False)
    machine.somebody_settles(0, 0, again=False)
    next_attempt(machine, "accepted")


@pytest.mark.parametrize(
    ("careless", "events"),
    [
        (SignedAtSend, frozen_worker),
        (LeaseExpiryMeansResend, dead_worker),
        (OneEarlyAnswerSuffices, lagging_store),
        (FailedQuestionIsAnAnswer, unanswered_questions),
        (SettledWithoutTokenAndNumber, late_word),
    ],
)
def test_a_rule_left_out_is_noticed(
    careless: type[Protocol], events: Callable[[Protocol], None], around: Surroundings
) -> None:
    """What happens to a careless bridge is seen; the same events do nothing to the one we have."""
    told = []
    for kind in (Protocol, careless):
        machine = type(kind.__name__, (kind,), {"around": around})()
        machine.begin()
        machine.bot_inserts("BTC/USDT")
        events(machine)
        told.append(len(machine.exchange.orders))
        if kind is careless:
            with pytest.raises(AssertionError, match="two orders of one row"):
                machine.one_order_for_a_row()
        else:
            machine.one_order_for_a_row()
            machine.teardown()
    assert told == [1, 2]
