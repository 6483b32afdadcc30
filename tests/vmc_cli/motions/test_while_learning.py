"""Learning that is looked at, or stopped and resumed, gives what it would have given, at no further cost."""

import dataclasses
import time

import numpy as np
import pytest
import torch

from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.motions.conftest import RECIPE, clip, generated, learned
from tests.vmc_cli.training.conftest import Watched
from vmc_cli import motions, training
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.errors import IncompatibleError, Stopped
from vmc_cli.motions import Preview


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_stopped_learning_leaves_the_network_clean_and_goes_on(tiny_backbone, delta, tmp_path, stop):
    before = fingerprint(tiny_backbone.network)
    checkpoint = Checkpoint(tmp_path / "walk", every=100)
    with pytest.raises(Stopped):
        learned(tiny_backbone, progress=Watched(stop_after=stop), checkpoint=checkpoint)
    assert fingerprint(tiny_backbone.network) == before
    watched, resuming = Watched(), dataclasses.replace(checkpoint, resume=True)
    resumed = learned(tiny_backbone, progress=watched, checkpoint=resuming)
    assert watched.stages == ([("Inverting", 3), ("Learning", 3)] if stop < 3 else [("Learning", 6 - stop)])
    assert all(torch.equal(resumed.tensors[key], delta.tensors[key]) for key in delta.tensors)
    assert resumed.card.loss == delta.card.loss


@pytest.mark.parametrize("stop", [3, 4, 6])
def test_the_seconds_of_a_resumed_run_are_those_of_all_its_parts(tiny_backbone, tmp_path, stop, monkeypatch):
    now = 1000.0

    class Timed(Watched):
        def step(self, loss=None):
            nonlocal now
            now += 10.0
            super().step(loss)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoint = Checkpoint(tmp_path / "walk", every=2)
    assert learned(tiny_backbone, progress=Timed()).card.seconds == 60.0
    with pytest.raises(Stopped):
        learned(tiny_backbone, progress=Timed(stop_after=stop), checkpoint=checkpoint)
    now += 5000.0
    resuming = dataclasses.replace(checkpoint, resume=True)
    # Stopped within the inversion, that is begun anew.
    assert learned(tiny_backbone, progress=Timed(), checkpoint=resuming).card.seconds == 60.0


def test_a_run_that_died_before_its_first_checkpoint_inverts_no_clip_again(
    tiny_backbone, delta, tmp_path, monkeypatch
):
    checkpoint = Checkpoint(tmp_path / "walk", resume=True)

    def dies(*arguments):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(training._State, "descend", dies)
        with pytest.raises(RuntimeError, match="killed"):
            learned(tiny_backbone, checkpoint=checkpoint)
    watched = Watched()
    resumed = learned(tiny_backbone, checkpoint=checkpoint, progress=watched)
    assert watched.stages == [("Learning", 3)]
    assert all(torch.equal(resumed.tensors[key], delta.tensors[key]) for key in delta.tensors)


def test_without_resume_nothing_of_an_earlier_run_is_used(tiny_backbone, tmp_path):
    checkpoint = Checkpoint(tmp_path / "walk", every=1)
    learned(tiny_backbone, [clip(5)], seed=3, checkpoint=checkpoint)
    watched = Watched()
    learned(tiny_backbone, checkpoint=checkpoint, progress=watched)
    assert watched.stages == [("Inverting", 3), ("Learning", 3)]


OTHER_INVERSION = RECIPE.adjusted({"inversion_steps": 2})


@pytest.mark.parametrize(
    "change",
    [{"clips": [clip(5)]}, {"prompt": "a cat is walking"}, {"seed": 3}, {"recipe": OTHER_INVERSION}],
)
def test_a_checkpoint_of_another_clip_prompt_or_seed_is_refused(tiny_backbone, tmp_path, change):
    checkpoint = Checkpoint(tmp_path / "walk", every=1, resume=True)
    learned(tiny_backbone, checkpoint=checkpoint)
    with pytest.raises(IncompatibleError, match="another clip, prompt, recipe or seed"):
        learned(tiny_backbone, **change, checkpoint=checkpoint)


@pytest.mark.parametrize("rank", [2, None])
def test_a_motion_is_the_same_whether_somebody_looks_while_it_is_learned_or_not(
    tiny_backbone, rank, monkeypatch
):
    monkeypatch.setattr(motions.generating, "PREVIEW_STEPS", 2)
    recipe, seen = RECIPE.adjusted({"rank": rank, "steps": 5}), []
    shown = learned(tiny_backbone, recipe=recipe, preview=Preview(2, lambda *sample: seen.append(sample)))
    alone = learned(tiny_backbone, recipe=recipe)
    assert all(torch.equal(shown.tensors[key], alone.tensors[key]) for key in alone.tensors)
    assert shown.card.loss == alone.card.loss
    assert [steps for steps, _ in seen] == [2, 4]
    assert seen[0][1].frames.shape == (4, 32, 32, 3)
    assert not np.array_equal(seen[0][1].frames, seen[1][1].frames)


@pytest.mark.parametrize("until", [0.0, 0.85])
def test_what_is_seen_at_the_end_of_learning_is_what_is_generated(exact_backbone, until):
    recipe, seen = RECIPE.adjusted({"learning_rate": 0.2, "acts_until": until}), []
    preview = Preview(3, lambda *sample: seen.append(sample))
    delta = learned(exact_backbone, recipe=recipe, seed=4, preview=preview)
    [(_, sample)] = seen
    wishes = {"prompt": delta.card.prompt_used, "seed": 4, "steps": motions.PREVIEW_STEPS}
    later, untaught = (
        generated(exact_backbone, deltas=[(delta, strength)], **wishes).astype(int) for strength in (1.0, 0.0)
    )
    assert np.abs(sample.frames - later).max() <= 1  # weights are stored in half precision
    assert np.abs(sample.frames - untaught).max() > 8
