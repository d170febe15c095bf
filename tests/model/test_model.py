"""The send protocol holds in every reachable state of the model, and each of its rules is needed."""

import pytest

from docs.model.catalogue import MUTATIONS, PROTOCOL, SMALL
from docs.model.explore import explore


@pytest.mark.parametrize("setting", SMALL, ids=lambda setting: setting.name)
def test_protocol_holds_every_claim(setting):
    """No reachable state breaks a claim, and from each one order or one clear end can be reached."""
    outcome = explore(PROTOCOL, setting)
    assert outcome.violation is None, outcome.trace
    assert outcome.states > 500  # a model that hardly moves would prove nothing


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_dropping_a_rule_breaks_a_claim(mutation):
    """Without the rule a shortest counterexample exists that a trader would notice; with it, in the same world, none."""
    outcome = explore(mutation.rules, mutation.setting, judged=mutation.shows)
    assert outcome.violation in mutation.shows
    assert outcome.trace
