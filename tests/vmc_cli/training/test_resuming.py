"""A run that is interrupted goes on as if it had not been."""

import dataclasses
import time

import pytest
import torch

from tests.vmc_cli.training.conftest import RECIPE, Watched, same
from vmc_cli import training
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.errors import IncompatibleError, Stopped


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("rank", [2, None])
def test_a_resumed_run_gives_the_very_result_of_an_uninterrupted_one(learn, whole, tmp_path, stop, rank):
    recipe = RECIPE.adjusted({"rank": rank})
    checkpoint = Checkpoint(tmp_path / "walk", every=2)
    with pytest.raises(Stopped):
        learn(recipe, checkpoint=checkpoint, progress=Watched(stop_after=stop))
    torch.manual_seed(1234)
    watched = Watched()
    resumed = learn(recipe, checkpoint=dataclasses.replace(checkpoint, resume=True), progress=watched)
    assert watched.stages == [("Learning", RECIPE.steps - stop)]
    assert same(resumed, whole(rank))
    assert resumed.loss == whole(rank).loss


def test_the_seconds_of_a_resumed_run_are_those_of_all_its_parts(learn, tmp_path, monkeypatch):
    now = 500.0

    class Timed(Watched):
        def step(self, loss=None):
            nonlocal now
            now += 10.0
            super().step(loss)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    checkpoint = Checkpoint(tmp_path / "walk")
    assert learn(progress=Timed()).seconds == 40.0
    with pytest.raises(Stopped):
        learn(progress=Timed(stop_after=3), checkpoint=checkpoint)
    now += 5000.0
    resuming = dataclasses.replace(checkpoint, resume=True)
    assert learn(progress=Timed(), checkpoint=resuming).seconds == 40.0


def test_a_killed_run_goes_on_from_its_last_checkpoint(learn, whole, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "walk", every=2)

    class Killed(BaseException):
        pass

    original = training._State.descend

    def dies(state, loss, norm):
        if int(state.losses.count_nonzero()) == 3:
            raise Killed
        original(state, loss, norm)

    monkeypatch.setattr(training._State, "descend", dies)
    with pytest.raises(Killed):
        learn(checkpoint=checkpoint)
    monkeypatch.undo()
    watched = Watched()
    resumed = learn(checkpoint=dataclasses.replace(checkpoint, resume=True), progress=watched)
    assert watched.stages == [("Learning", 2)]
    assert same(resumed, whole())


def test_checkpoints_change_nothing_and_are_forgotten_without_resume(learn, whole, tmp_path):
    checkpoint = Checkpoint(tmp_path / "walk", every=1)
    assert same(learn(checkpoint=checkpoint), whole())
    watched = Watched()
    assert same(learn(checkpoint=checkpoint, progress=watched), whole())
    assert watched.stages == [("Learning", RECIPE.steps)]


def test_resuming_a_finished_run_gives_its_result_at_once(learn, tmp_path):
    checkpoint, watched = Checkpoint(tmp_path / "walk", every=100, resume=True), Watched()
    first = learn(checkpoint=checkpoint)
    again = learn(checkpoint=checkpoint, progress=watched)
    assert watched.stages == [("Learning", 0)]
    assert same(again, first)
    assert again.loss == first.loss


@pytest.mark.parametrize("change", [{"seed": 1}, {"recipe": RECIPE.adjusted({"learning_rate": 2e-3})}])
def test_another_run_is_not_continued(learn, tmp_path, change):
    checkpoint = Checkpoint(tmp_path / "walk", every=1, resume=True)
    learn(checkpoint=checkpoint)
    with pytest.raises(IncompatibleError):
        learn(checkpoint=checkpoint, **change)
