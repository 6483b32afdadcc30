"""Learning that fails leaves nothing behind: no weights, no checkpoint, no trace in the network."""

import pytest

from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.training.conftest import RECIPE
from vmc_cli import training
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.errors import Diverged

_DESCEND = training._State.descend


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_the_network_clean(learn, backbone, error, monkeypatch):
    before = fingerprint(backbone.network)

    def fails(*args):
        raise error

    monkeypatch.setattr(training._State, "descend", fails)
    with pytest.raises(error):
        learn()
    assert fingerprint(backbone.network) == before


def _poison_gradient(state, loss, norm):
    parameter = next(iter(state._parameters.values()))
    hook = parameter.register_hook(lambda gradient: gradient * float("nan"))
    _DESCEND(state, loss, norm)
    hook.remove()


def _poison_loss(state, loss, norm):
    _DESCEND(state, loss * float("inf"), norm)


@pytest.mark.parametrize("poison", [_poison_gradient, _poison_loss])
@pytest.mark.parametrize("steps", [1, 4])
def test_nothing_comes_of_numbers_that_are_not_finite(learn, tmp_path, poison, steps, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "walk", every=2)
    monkeypatch.setattr(training._State, "descend", poison)
    with pytest.raises(Diverged) as caught:
        learn(RECIPE.adjusted({"steps": steps}), checkpoint=checkpoint)
    assert caught.value.code == 11
    assert checkpoint.load() == (0, {})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"learning_rate": 1e6}, "The loss left"), ({"learning_rate": 1e4, "steps": 1}, "A weight left")],
    ids=["seen by the loss", "seen by the weights alone"],
)
def test_weights_that_explode_are_not_handed_out(learn, changes, sentence):
    with pytest.raises(Diverged, match=sentence):
        learn(RECIPE.adjusted(changes))
