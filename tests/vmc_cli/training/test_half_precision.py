"""Learning in float16, as on older GPUs."""

import dataclasses

import pytest
import torch

from tests.vmc_cli.conftest import tiny_spec
from tests.vmc_cli.training.conftest import RECIPE, Watched, lesson, same
from vmc_cli import backbones
from vmc_cli.backbones import unet3d
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.errors import Stopped


def test_in_half_precision_the_true_gradient_is_clipped_and_not_the_scaled_one(
    small_folder, exact_backbone, monkeypatch
):
    norms, clip = [], torch.nn.utils.clip_grad_norm_
    watch = lambda *arguments: norms.append(float(clip(*arguments)))  # noqa: E731
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", watch)
    monkeypatch.setattr(unet3d, "compute_dtype", lambda device: torch.float16)
    for backbone in (exact_backbone, backbones.load(tiny_spec(small_folder), "cpu")):
        lesson(backbone)(RECIPE.adjusted({"steps": 1}))
    exact, half = norms
    assert half == pytest.approx(exact, rel=0.1)


def test_the_scale_of_the_loss_and_its_history_are_part_of_a_checkpoint(small_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(unet3d, "compute_dtype", lambda device: torch.float16)
    learn = lesson(backbones.load(tiny_spec(small_folder), "cpu"))
    whole = learn()
    assert all(value.isfinite().all() for value in whole.tensors.values())
    checkpoint = Checkpoint(tmp_path / "walk")
    with pytest.raises(Stopped):
        learn(checkpoint=checkpoint, progress=Watched(stop_after=3))
    assert same(learn(checkpoint=dataclasses.replace(checkpoint, resume=True)), whole)
