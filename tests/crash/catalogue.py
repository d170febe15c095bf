"""PROTOCOL 13: which cells have to turn red when a rule is missing. All of them are clean with the rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.crash.cells import cells
from tests.crash.failover import failover_cells

if TYPE_CHECKING:
    from tests.crash.cells import Cell
    from tests.crash.failover import FailoverCell


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule taken out (`mutations`), and the cells it is run on; at least one has to turn red.

    Args:
        name: as in `mutations`.
        cells: by name.
        slowly: run them at slower times, since the next worker has to be up, and to ask, before the order
            can be seen; with the rule in place they run there, too.

    """

    name: str
    cells: tuple[str, ...]
    slowly: bool = False


SLOWLY_AGAIN = (
    "rejects once, then accepts slowly; failover loses the claim, "
    "freeze at settle.before, wakes while it is sent again"
)

MUTATIONS = (
    Mutation(
        "sign at send",
        ("accepts and fills; freeze at claim.committed", "accepts and rests; freeze at send.before"),
    ),
    Mutation(
        "no wait before asking",
        (
            "connection cut, order late; kill at settle.committed",
            "connection cut, order late; freeze at settle.committed",
        ),
        slowly=True,
    ),
    Mutation(
        "one early -2013 suffices",
        ("last moment and lag; kill at send.written", "connection cut, order late; kill at resolve.asked"),
        slowly=True,
    ),
    Mutation(
        "failed query counts as absence",
        (
            "queries fail, order there; kill at send.answered",
            "queries fail, then answer; kill at settle.before",
        ),
    ),
    Mutation(
        "lease expiry means resend",
        ("accepts and fills; kill at send.answered", "accepts and rests; kill at send.written"),
    ),
    Mutation(
        "settle without token and state",
        (
            "rejects once, then rests; freeze at send.answered",
            "rejects once, then rests; freeze at settle.before",
        ),
    ),
    Mutation(
        "HTTP layer re-sends once",
        ("answer lost, filled; kill at settle.before", "answer swallowed; kill at settle.before"),
    ),
    Mutation(
        "attempt row after the POST",
        ("accepts and fills; kill at send.answered", "accepts and fills; freeze at send.answered"),
    ),
    Mutation(
        "claim without re-checking the row",
        (
            "accepts and fills; pause at claim.before; bot cancels",
            "accepts and rests; pause at claim.before; bot cancels",
        ),
    ),
    Mutation(
        "retry ignores a cancel",
        (
            "accepts and fills; kill at send.before; bot cancels",
            "request lost; kill at send.answered; bot cancels",
        ),
    ),
    Mutation(
        "duplicate id taken as rejected",
        ("POST repeated on the way; kill at settle.committed",),
    ),
    Mutation(
        "sequential tokens",
        (SLOWLY_AGAIN,),
    ),
    Mutation(
        "random ids",
        (
            "accepts and fills; failover loses the claim, kill at send.answered",
            "accepts and rests; failover loses three commits, kill at settle.before",
        ),
    ),
    Mutation(
        "no quarantine",
        ("last moment and lag, fills; failover loses the claim, kill at send.written",),
        slowly=True,
    ),
    Mutation(
        "only the known ids are asked for",
        ("accepts and fills; failover loses three commits, kill at settle.before",),
    ),
)


def runs() -> list[tuple[Mutation, Cell | FailoverCell]]:
    """Return every mutation with each of its cells.

    Raises:
        KeyError: a cell of that name is not generated.

    """
    generated: list[Cell | FailoverCell] = [*cells(), *failover_cells()]
    by_name = {cell.name: cell for cell in generated}
    return [(mutation, by_name[name]) for mutation in MUTATIONS for name in mutation.cells]
