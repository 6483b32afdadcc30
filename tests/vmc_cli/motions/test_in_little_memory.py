"""A motion and a video are the same however little memory there is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from diffusers.models.resnet import TemporalConvLayer

from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.motions.conftest import CAT, CLIP, RECIPE, generated, learned
from vmc_cli import motions, terminal, training
from vmc_cli.backbones import compiling
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.costs import IN_BYTES, LEVELS
from vmc_cli.course import Course
from vmc_cli.errors import IncompatibleError, OutOfMemory
from vmc_cli.motions import generating
from vmc_cli.recipes import RECIPES
from vmc_cli.tokens import Token

SMALL = {"steps": 3, "inversion_steps": 2}
TOKEN = RECIPES["token"].adjusted({**SMALL, "augmented": 1, "rank": 2, "trains_token": True})


def short_of_memory(monkeypatch, at):
    """Let memory run out in that step of learning, once; the list grows with each step."""
    original, done = training._State.descend, []

    def short(state, norm):
        done.append(norm)
        if len(done) == at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        original(state, norm)

    monkeypatch.setattr(training._State, "descend", short)
    return done


def same(one, other):
    assert one.tensors.keys() == other.tensors.keys()
    return all(torch.equal(one.tensors[key], other.tensors[key]) for key in one.tensors)


@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        (RECIPE, {}),
        (RECIPES["director"].adjusted({**SMALL, "rank": 2}), {}),
        (TOKEN, {"prompt": "a bird doing the V*", "token": Token("V*", "pll")}),
    ],
    ids=["vmc", "director", "token"],
)
def test_a_motion_is_the_same_at_each_level(tiny_backbone, recipe, more):
    first, *others = [learned(tiny_backbone, recipe=recipe, level=level, **more) for level in LEVELS]
    assert all(same(first, other) for other in others)


@pytest.mark.parametrize("method", ["vmc", "inversion", "director"])
def test_a_motion_learned_beside_8_bits_says_so_and_is_nearly_the_same(tiny_backbone, method, tmp_path):
    before = fingerprint(tiny_backbone.network)
    recipe = RECIPES[method].adjusted(SMALL)
    checkpoint = Checkpoint(tmp_path / "walk", every=1)
    plain = learned(tiny_backbone, recipe=recipe, level="low", checkpoint=checkpoint)
    with pytest.raises(IncompatibleError, match="unfinished"):
        learned(
            tiny_backbone,
            recipe=recipe,
            level=IN_BYTES,
            checkpoint=dataclasses.replace(checkpoint, resume=True),
        )
    held = learned(tiny_backbone, recipe=recipe, level=IN_BYTES)
    assert fingerprint(tiny_backbone.network) == before
    assert (plain.card.extra.get("frozen"), held.card.extra["frozen"]) == (None, "int8")
    assert not same(plain, held)
    assert same(held, learned(tiny_backbone, recipe=recipe, level=IN_BYTES))
    noise, other = (each.tensors["start_noise"].float() for each in (plain, held))
    assert torch.cosine_similarity(noise.flatten(), other.flatten(), dim=0) > 0.99
    assert generated(tiny_backbone, deltas=[(held, 1.0)]).shape == generated(tiny_backbone).shape


@pytest.mark.parametrize("until", [0.0, 0.5])
def test_a_video_is_the_same_at_each_level_but_for_rounding(exact_backbone, until):
    delta = learned(exact_backbone, recipe=RECIPE.adjusted({"acts_until": until}))
    before = fingerprint(exact_backbone.network)
    first, *others = [
        generated(exact_backbone, deltas=[(delta, 1.0)], level=level).astype(int) for level in LEVELS
    ]
    assert all(np.abs(first - other).max() <= 1 for other in others)
    assert fingerprint(exact_backbone.network) == before


@pytest.mark.parametrize("kept", [False, True])
def test_running_out_of_memory_goes_on_one_level_lower_with_the_same_motion(
    tiny_backbone, tmp_path, kept, monkeypatch, capfd
):
    terminal.prepare()
    whole = learned(tiny_backbone)
    done = short_of_memory(monkeypatch, at=3)
    checkpoint = Checkpoint(tmp_path / "walk", every=2) if kept else None
    assert same(learned(tiny_backbone, checkpoint=checkpoint), whole)
    assert len(done) == (4 if kept else 6)  # from the checkpoint after two steps, or from the beginning
    assert "going on at medium" in capfd.readouterr().err


def test_a_level_that_was_asked_for_is_kept_to(tiny_backbone, monkeypatch):
    before = fingerprint(tiny_backbone.network)

    def short(state, norm):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training._State, "descend", short)
    with pytest.raises(OutOfMemory, match="learn this motion") as caught:
        learned(tiny_backbone, level="high")
    assert caught.value.hint.startswith("--memory low takes")
    assert fingerprint(tiny_backbone.network) == before


@pytest.mark.parametrize(
    ("where", "task"),
    [
        ("encode", "encode this clip"),
        ("embed", "learn this motion"),
        ("predict", "learn this motion"),  # to invert it
        ("look", "look at the clip with tiny"),
    ],
)
def test_whatever_runs_out_before_learning_says_what_it_takes_and_what_was_free(
    tiny_backbone, where, task, monkeypatch
):
    before = fingerprint(tiny_backbone.network)

    def short(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tiny_backbone, "decode" if where == "look" else where, short)
    with pytest.raises(
        OutOfMemory, match=f"to {task}: it takes 0.0 GiB, and [0-9.]+ GiB were free."
    ) as caught:
        motions.reconstruction(tiny_backbone, CLIP) if where == "look" else learned(tiny_backbone)
    assert caught.value.hint.startswith("Close other programs")
    assert fingerprint(tiny_backbone.network) == before


def test_a_token_is_learned_anew_after_memory_ran_out(tiny_backbone, monkeypatch):
    more = {"recipe": TOKEN, "prompt": "a bird doing the V*", "token": Token("V*", "pll")}
    whole = learned(tiny_backbone, **more)
    short_of_memory(monkeypatch, at=2)
    assert same(learned(tiny_backbone, **more), whole)


def test_a_clip_of_another_motion_is_learned_from_at_each_level(tiny_backbone):
    others = [(dataclasses.replace(CLIP, frames=CLIP.frames[::-1].copy()), "a dog is running")]
    first, second = (learned(tiny_backbone, others=others, level=level) for level in ("high", "low"))
    assert same(first, second)


def test_memory_that_runs_out_when_motions_are_put_into_the_network_costs_no_video(
    exact_backbone, monkeypatch, capfd
):
    terminal.prepare()
    delta = learned(exact_backbone)
    before = fingerprint(exact_backbone.network)
    wanted = generated(exact_backbone, deltas=[(delta, 1.0)]).astype(int)
    original = generating._Changed.place

    def short(self, *, offloaded):
        if not offloaded:
            raise torch.OutOfMemoryError("CUDA out of memory")
        original(self, offloaded=offloaded)

    monkeypatch.setattr(generating._Changed, "place", short)
    made = generated(exact_backbone, deltas=[(delta, 1.0)]).astype(int)
    assert np.abs(made - wanted).max() <= 1
    assert "going on at low" in capfd.readouterr().err
    with pytest.raises(OutOfMemory):
        generated(exact_backbone, deltas=[(delta, 1.0)], level="high")
    assert fingerprint(exact_backbone.network) == before


def test_the_next_video_is_made_although_memory_ran_out_for_the_one_before(
    exact_backbone, monkeypatch, capfd
):
    terminal.prepare()
    delta = learned(exact_backbone)
    before = fingerprint(exact_backbone.network)
    wanted = [generated(exact_backbone, deltas=[(delta, 1.0)], seed=seed).astype(int) for seed in (1, 2)]
    original, asked = exact_backbone.predict, []

    def short(*arguments):
        asked.append(arguments)
        if len(asked) <= 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(*arguments)

    monkeypatch.setattr(exact_backbone, "predict", short)
    options = {"course": Course(2), "negative": "", "noise": None, "progress": None}
    with motions.following(exact_backbone, [(delta, 1.0)]) as draw:
        made = [draw(CAT, seed=seed, **options).frames for seed in (1, 2)]
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(made, wanted, strict=True))
    assert "going on at low" in capfd.readouterr().err
    assert fingerprint(exact_backbone.network) == before


def test_a_compiled_video_is_made_although_memory_ran_out(exact_backbone, monkeypatch, capfd):
    terminal.prepare()
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    monkeypatch.setattr(compiling, "LAYERS", (TemporalConvLayer,))
    delta = learned(exact_backbone)
    before = fingerprint(exact_backbone.network)
    wanted = generated(exact_backbone, deltas=[(delta, 1.0)]).astype(int)
    original, asked = exact_backbone.predict, []

    def short(*arguments):
        asked.append(arguments)
        if len(asked) <= 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(*arguments)

    monkeypatch.setattr(exact_backbone, "predict", short)
    made = generated(exact_backbone, deltas=[(delta, 1.0)], compiled=True).astype(int)
    assert np.abs(made - wanted).max() <= 1
    assert "going on at low" in capfd.readouterr().err
    assert fingerprint(exact_backbone.network) == before
