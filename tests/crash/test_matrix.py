"""The crash matrix in short: a seeded sample, one failover, and every mutation still fits the code."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.crash import mutations
from tests.crash.behaviours import BEHAVIOURS, ON_ALGO, ON_FUTURES
from tests.crash.catalogue import MUTATIONS, runs
from tests.crash.cells import FAILING, Mode, cells, futures_cells, spot_cells
from tests.crash.cluster import Cluster
from tests.crash.destination import Destination
from tests.crash.failover import failover_cells, run_failover
from tests.crash.judge import GOOD, Facts, Verdict, judge
from tests.crash.ledger import orders_of
from tests.crash.matrix import AT_REAL_TIMES, LEAST_CELLS, sample
from tests.crash.run_cell import run
from tests.crash.scale import FAILOVER, SCALED
from tests.crash.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20261124
SAMPLE = 12


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Database, exchange and warm parent at scaled times."""
    with World(SCALED) as world:
        yield world


@pytest.mark.timeout(300)
def test_a_sample_of_the_matrix_is_clean(world: World) -> None:
    """Cells of as many behaviours, of both markets: exactly one order, a clear end, or a flagged unknown."""
    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(lambda cell: run(world, cell), sample(SAMPLE, SEED)))
    bad = [
        f"{one.judged.verdict}: {one.name}: {one.judged.why}\n{one.log}"
        for one in ran
        if one.judged.verdict not in GOOD
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.timeout(300)
def test_a_missing_rule_turns_a_cell_red(world: World) -> None:
    """The cells can fail: a lease that means "send again" doubles the order of a worker that died."""
    (mutation, cell), *_ = [(m, c) for m, c in runs() if m.name == "lease expiry means resend"]
    assert run(world, cell, mutation.name).judged.verdict is Verdict.DOUBLED  # type: ignore[arg-type]


@pytest.mark.timeout(300)
def test_a_failover_that_loses_the_claim_doubles_nothing() -> None:
    """The promoted standby never heard of the claim; its order is found by its computable id and adopted."""
    wanted = "accepts and fills; failover loses the claim, kill at send.answered"
    (cell,) = [cell for cell in failover_cells() if cell.name == wanted]
    with World(FAILOVER) as world, Cluster() as cluster:
        ran = run_failover(world, cluster, cell)
    assert ran.judged.verdict is Verdict.CLEAN, f"{ran.judged.why}\n{ran.log}"


@pytest.mark.parametrize("name", [mutation.name for mutation in MUTATIONS])
def test_mutation_fits_the_code(name: str) -> None:
    """What a mutation takes out is there to be taken out; tried in a process of its own."""
    child = multiprocessing.get_context("fork").Process(target=mutations.apply, args=(name,))
    child.start()
    child.join()
    assert child.exitcode == 0


def test_the_matrix_is_generated_and_large_enough() -> None:
    """Every behaviour meets kills and freezes; names are unique; the cells at real times exist."""
    every = cells()
    names = [cell.name for cell in every] + [cell.name for cell in failover_cells()]
    assert len(names) == len(set(names)) >= LEAST_CELLS
    assert set(AT_REAL_TIMES) <= set(names)
    assert len(AT_REAL_TIMES) == 10
    for behaviour in BEHAVIOURS:
        modes = {cell.stages[-1].mode for cell in spot_cells() if cell.behaviour is behaviour}
        assert {Mode.KILL, Mode.FREEZE} <= modes


@pytest.mark.parametrize("goes", [Destination.FUTURES, Destination.ALGO])
def test_futures_cells_cover_every_pair(goes: Destination) -> None:
    """Each behaviour meets the points it meets on spot; each of both fails in every way, cancelled or not."""
    behaviours = ON_ALGO if goes.conditional else ON_FUTURES
    chosen = [cell for cell in futures_cells() if cell.goes is goes]
    pairs = {(cell.behaviour, cell.stages[-1].point) for cell in chosen}
    on_spot = {(c.behaviour, c.stages[-1].point) for c in spot_cells() if c.behaviour in behaviours}
    assert on_spot <= pairs
    ways = {(mode, cancels) for mode in FAILING for cancels in (False, True)}
    for behaviour in behaviours:
        assert {(c.stages[-1].mode, c.cancels) for c in chosen if c.behaviour is behaviour} == ways
    for point in {point for _, point in pairs if not point.startswith("cancel.")}:
        assert {(c.stages[-1].mode, c.cancels) for c in chosen if c.stages[-1].point == point} == ways


def test_a_conditional_order_and_what_it_became_are_one() -> None:
    """By the algo service's own word; a plain order that is not the one it names is one more."""
    algo = {"algoId": 9, "clientAlgoId": "b-1", "symbol": "BNBUSDT", "algoStatus": "NEW", "actualOrderId": ""}
    became = {"clientOrderId": "b-1", "orderId": 7, "status": "FILLED", "executedQty": "2"}
    (waiting,) = orders_of([{"algo": algo}])
    assert (waiting["orderId"], waiting["status"]) == ("algo-9", "NEW")
    triggered = algo | {"algoStatus": "FINISHED", "actualOrderId": "7"}
    assert orders_of([{"order": became}, {"algo": triggered}]) == [became]
    assert len(orders_of([{"order": became | {"orderId": 8}}, {"algo": triggered}])) == 2


def facts(**changes: object) -> Facts:
    """Build the facts of a filled market order."""
    sound = {
        "row": {"status": "filled", "exchange_order_id": "7", "filled_amount": 2, "reasoning": ""},
        "entry": {"state": "done"},
        "attempts": [],
        "at_exchange": [{"clientOrderId": "b-1", "orderId": 7, "status": "FILLED", "executedQty": "2"}],
        "posts": 1,
        "canceled_at": None,
        "flagged_in_words": True,
        "halted": "",
    }
    return Facts(**(sound | changes))  # type: ignore[arg-type]


REJECTED = {"status": "rejected", "exchange_order_id": "", "filled_amount": 0, "reasoning": "Rejected: no"}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.CLEAN),
        ({"at_exchange": []}, Verdict.LOST),
        ({"at_exchange": [*facts().at_exchange, *facts().at_exchange]}, Verdict.DOUBLED),
        ({"entry": {"state": "submitted"}}, Verdict.WRONG),
        ({"entry": {"state": "backoff"}}, Verdict.LOST),
        ({"row": REJECTED}, Verdict.WRONG),
        ({"row": REJECTED, "at_exchange": []}, Verdict.CLEAN),
        ({"row": REJECTED | {"reasoning": ""}, "at_exchange": []}, Verdict.WRONG),
        ({"halted": "late evidence"}, Verdict.WRONG),
        ({"entry": {"state": "unknown"}}, Verdict.FLAGGED),
        ({"entry": {"state": "unknown"}, "posts": 2}, Verdict.WRONG),
        ({"entry": {"state": "unknown"}, "flagged_in_words": False}, Verdict.WRONG),
    ],
)
def test_judge(changes: dict[str, object], verdict: Verdict) -> None:
    """The judge tells every kind of bad end from the good ones."""
    assert judge(facts(**changes), may_reject=True, may_stay_unknown=True).verdict is verdict


def test_judge_allows_only_what_the_behaviour_allows() -> None:
    """A rejection nobody gave is a lost order, and an unknown that could be asked about is one too."""
    rejected = facts(row=REJECTED, at_exchange=[])
    assert judge(rejected, may_reject=False, may_stay_unknown=False).verdict is Verdict.LOST
    unknown = facts(entry={"state": "unknown"})
    assert judge(unknown, may_reject=False, may_stay_unknown=False).verdict is Verdict.LOST
