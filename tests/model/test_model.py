"""The send protocol holds in every reachable state of the model, and each of its rules is needed."""

import json
from dataclasses import fields, replace

import pytest

from docs.model import __main__ as command
from docs.model import claims
from docs.model.catalogue import (
    CANCELS,
    INSTANT,
    LARGE,
    MUTATIONS,
    PEEKS,
    PLAIN,
    PROTOCOL,
    REPEATS,
    RESTS,
    SMALL,
)
from docs.model.explore import Explorer, explore, printed
from docs.model.moves import Moves
from docs.model.rules import Rules
from docs.model.state import ENTRY_NAMES, WORKER_NAMES


def named(case):
    return case.name


def reachable(setting):
    """Every reachable state, and the label of every move."""
    explorer = Explorer(PROTOCOL, setting)
    states, labels, todo = {explorer.first()}, set(), [explorer.first()]
    while todo:
        for move in explorer.after(todo.pop()):
            labels.add(move.label)
            if move.state not in states:
                states.add(move.state)
                todo.append(move.state)
    return states, labels


@pytest.mark.parametrize("setting", SMALL, ids=named)
def test_protocol_holds_every_claim(setting):
    """No reachable state breaks a claim, and from each one order or one clear end can be reached."""
    outcome = explore(PROTOCOL, setting)
    assert outcome.violation is None, printed(outcome.trace)


@pytest.mark.whole
@pytest.mark.parametrize("setting", LARGE, ids=named)
def test_protocol_holds_every_claim_in_large_worlds(setting):
    """The same with three workers, more attempts, longer times, two failovers, and without the reductions."""
    outcome = explore(PROTOCOL, setting)
    assert outcome.violation is None, printed(outcome.trace)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=named)
def test_dropping_a_rule_breaks_a_claim(mutation):
    """Without the rule there is a counterexample a trader notices, in a world where the protocol holds."""
    world = replace(mutation.setting, sorts_workers=True)
    assert world in SMALL
    outcome = explore(mutation.rules, world, judged=mutation.shows)
    assert outcome.violation in mutation.shows
    assert outcome.trace


def test_every_rule_has_its_mutation():
    """A rule that nothing drops would be a rule nobody has seen matter."""
    dropped = [
        field.name
        for mutation in MUTATIONS
        for field in fields(Rules)
        if not getattr(mutation.rules, field.name)
    ]
    assert sorted(dropped) == sorted(field.name for field in fields(Rules))


def test_small_worlds_reach_everything_the_model_knows():
    """Every entry state and every step of a worker occurs, so no claim holds because nothing happens."""
    states = set().union(*(reachable(setting)[0] for setting in (PEEKS, RESTS, REPEATS, INSTANT)))
    assert {state.db.entry for state in states} == set(range(len(ENTRY_NAMES)))
    assert {worker.step for state in states for worker in state.workers} == set(range(len(WORKER_NAMES)))


@pytest.mark.parametrize(
    "ending", ["settles: accepted", "settles: rejected", "settles: cancelled before send"]
)
def test_each_way_to_end_is_walked(ending):
    """An order, a rejection and a cancel before send are all ends that the bridge itself reaches."""
    assert ending in reachable(CANCELS)[1]


@pytest.mark.parametrize("setting", [PLAIN, CANCELS, PEEKS, RESTS, INSTANT], ids=named)
def test_reductions_hide_nothing(setting):
    """The states without any reduction, each put in canonical form, are exactly those of the reduced run."""
    whole, _ = reachable(replace(setting, sorts_workers=False, drops_dead=False))
    moves = Moves(PROTOCOL, setting)
    canonical = {
        moves.canonical(state._replace(old=state.old and moves.left_behind(state.old))) for state in whole
    }
    reduced, _ = reachable(setting)
    assert canonical == reduced
    assert len(whole) > len(reduced)


def test_a_dead_end_is_found():
    """The claim that something can always progress can fail: DELETE only once leaves an order resting."""
    mutation = next(mutation for mutation in MUTATIONS if mutation.name == "DELETE only once")
    outcome = explore(mutation.rules, mutation.setting)
    assert outcome.violation == claims.STUCK


def test_too_many_states_are_no_proof():
    """A run that is cut off says so; it never passes."""
    with pytest.raises(RuntimeError, match="make the configuration smaller"):
        explore(PROTOCOL, PLAIN, at_most=100)


def test_a_counterexample_is_shortest_and_readable(capsys):
    """Breadth first: random ids need one lost commit only, and the trace says how many were lost."""
    assert command.main(["--trace", "random ids"]) == 0
    told = capsys.readouterr().out
    assert "the primary is lost, and with it the last 1 commit\n" in told
    assert "two orders for one row" in told


def test_the_command_writes_its_proof_and_fails_when_a_claim_is_false(tmp_path, monkeypatch, capsys):
    """The JSON holds what was found; the exit code tells a broken protocol, or a rule that nothing needs."""
    proof = tmp_path / "proof" / "model.json"
    monkeypatch.setattr(command, "CONFIGURATIONS", (PLAIN,))
    monkeypatch.setattr(command, "MUTATIONS", MUTATIONS[:1])
    assert command.main(["--json", str(proof)]) == 0
    found = json.loads(proof.read_text())
    assert found["states"] > 500
    assert found["violations"] == 0
    assert [(mutation["name"], mutation["violated"]) for mutation in found["mutations"]] == [
        ("sign at send", True)
    ]

    monkeypatch.setattr(command, "MUTATIONS", (replace(MUTATIONS[0], rules=PROTOCOL),))
    assert command.main(["--json", str(proof)]) == 1

    monkeypatch.setattr(command, "MUTATIONS", ())
    monkeypatch.setattr(command, "PROTOCOL", replace(PROTOCOL, sends_once=False))
    assert command.main(["--json", str(proof)]) == 1
    assert json.loads(proof.read_text())["violations"] == 1
    assert "the HTTP layer POSTs again" in capsys.readouterr().out
