"""A subject is learned from pictures, alone or after a motion, and composes with motions and words."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from registry.errors import Damaged
from registry.store import Store
from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.motions.conftest import RECIPE as MOTION_RECIPE
from tests.vmc_cli.motions.conftest import clip
from tests.vmc_cli.motions.conftest import learned as motion_learned
from tests.vmc_cli.test_delta import predicted
from tests.vmc_cli.training.conftest import same
from vmc_cli import foreign, motions, textual_inversion, training
from vmc_cli.course import Course
from vmc_cli.delta import Delta, attached
from vmc_cli.errors import ClipError, IncompatibleError, NotFoundError
from vmc_cli.motions import Footage, Preview, generate, learn
from vmc_cli.recipes import RECIPES
from vmc_cli.tokens import Token

RECIPE = RECIPES["subject"].adjusted({"steps": 4, "rank": 2, "learning_rate": 1e-2})
TOKEN = Token("X*", "sks")
PROMPT = "a X* dog"
PICTURES = [clip(seed, frames=1) for seed in (1, 2, 3)]


def learned(backbone, motion=None, **options):
    footage = Footage.of(backbone, PICTURES, options.get("recipe", RECIPE), token=TOKEN)
    footage = footage.with_motion(backbone, motion) if motion else footage
    return learn(
        backbone, footage, **{"name": "dog", "prompt": PROMPT, "recipe": RECIPE, "seed": 0, **options}
    )


@pytest.fixture
def dog(tiny_backbone):
    return learned(tiny_backbone)


@pytest.fixture
def walk(tiny_backbone):
    return motion_learned(tiny_backbone)


def test_the_file_holds_weights_token_and_pictures_and_no_clip(tiny_backbone, dog, tmp_path):
    store = Store(tmp_path)
    with store.writing("dog") as slot:
        dog.save(slot)
    found = Delta.load(store, "dog")
    assert same(found, dog)
    assert (found.card.kind, found.card.method, found.card.frames) == ("subject", "subject", 1)
    assert found.card.extra == {"token": "X*", "word": "sks"}
    assert np.array_equal(found.previews[0].frames, np.concatenate([each.frames for each in PICTURES]))
    found.adapter(tiny_backbone)


def test_nothing_is_inverted_and_every_video_that_is_shown_meanwhile_is_whole(tiny_backbone, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a picture is inverted")

    monkeypatch.setattr(motions.learning, "invert", refused)
    monkeypatch.setattr(motions.generating, "PREVIEW_STEPS", 1)
    seen = []
    learned(tiny_backbone, preview=Preview(4, lambda done, video: seen.append((done, video.frames.shape))))
    assert seen == [(4, (4, 32, 32, 3))]


def test_pictures_are_learned_as_videos_of_one_frame_or_panned(tiny_backbone, dog, monkeypatch):
    seen = []
    original = training.Lesson._predicted

    def watched(self, examples, t):
        seen.extend(clean.clone() for clean, _ in examples)
        return original(self, examples, t)

    monkeypatch.setattr(training.Lesson, "_predicted", watched)
    panned = learned(tiny_backbone, recipe=RECIPE.adjusted({"panned": True, "augmented": 1, "steps": 16}))
    assert {each.shape[2] for each in seen} == {tiny_backbone.frames}
    still = [torch.equal(each, each[:, :, :1].expand_as(each)) for each in seen]
    assert set(still) == {True, False}  # the pictures, and copies that wander
    assert panned.weights.keys() == dog.weights.keys()
    assert panned.card.frames == dog.card.frames == 1
    panned.adapter(tiny_backbone)
    seen.clear()
    assert same(learned(tiny_backbone), dog)
    assert {each.shape[2] for each in seen} == {1}


@pytest.mark.parametrize("panned", [False, True])
def test_copies_of_pictures_are_moved_and_never_cropped(tiny_backbone, panned):
    recipe = RECIPE.adjusted({"augmented": 2, "panned": panned})
    footage = Footage.of(tiny_backbone, PICTURES, recipe, token=TOKEN)
    frames = tiny_backbone.frames if panned else 1
    wanted = [
        tiny_backbone.encode(each.panned(number, frames).frames) for each in PICTURES for number in range(2)
    ]
    assert all(map(torch.equal, footage.changed, wanted))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors | {"start_noise": torch.zeros(1, 4, 4, 4, 4).half()},
        lambda tensors: tensors | {"latents": torch.zeros(1, 4, 1, 4, 4).half()},
        lambda tensors: {key: value for key, value in tensors.items() if key != "token"},
        lambda tensors: tensors | {"token": torch.ones(4, 16).half()},
        lambda tensors: {key: value for key, value in tensors.items() if key != "preview"},
    ],
)
def test_a_subject_that_is_not_exactly_whole_is_refused(tiny_backbone, dog, change):
    with pytest.raises(Damaged, match="subject dog cannot be used"):
        Delta(dog.card, change(dog.tensors)).adapter(tiny_backbone)


def test_kinds_are_not_mixed_up(tiny_backbone, dog, walk):
    called_motion = dataclasses.replace(dog.card, kind="motion", frames=4)
    with pytest.raises(Damaged, match="motion dog"):
        Delta(called_motion, dog.tensors).adapter(tiny_backbone)
    with pytest.raises(Damaged, match="unexpected"):
        Delta(dataclasses.replace(walk.card, kind="subject"), walk.tensors).adapter(tiny_backbone)
    with pytest.raises(IncompatibleError, match="is a style"):
        Delta(dataclasses.replace(walk.card, kind="style"), walk.tensors).adapter(tiny_backbone)


def test_pictures_of_another_size_are_refused(tiny_backbone):
    for wrong in (clip(1), clip(1, frames=1, size=16)):
        with pytest.raises(ClipError, match="1 frames of 32x32"):
            Footage.of(tiny_backbone, [wrong], RECIPE, token=TOKEN)


def test_after_a_motion_that_motion_acts_stays_as_it_is_and_is_taught_in_turn(
    tiny_backbone, walk, dog, monkeypatch
):
    before, seen = fingerprint(tiny_backbone.network), []
    temporal = tiny_backbone.sites_for(walk.card.recipe["trains"])[0].layer
    plain = temporal.weight.detach().clone()
    original = type(tiny_backbone).predict

    def watched(self, latents, t, embedding):
        seen.append((latents.shape[2], torch.equal(temporal.weight, plain)))
        return original(self, latents, t, embedding)

    kept = {key: value.clone() for key, value in walk.tensors.items()}
    with monkeypatch.context() as patch:
        patch.setattr(type(tiny_backbone), "predict", watched)
        joint = learned(tiny_backbone, motion=walk)
    assert seen == [(1, False), (4, False), (1, False), (4, False)]
    assert fingerprint(tiny_backbone.network) == before
    assert all(torch.equal(walk.tensors[key], value) for key, value in kept.items())
    assert joint.card.extra["with_motion"] == "walk"
    assert joint.weights.keys() == dog.weights.keys()
    assert not same(joint, dog)


def test_a_motion_that_no_longer_acts_does_not_while_a_subject_is_learned_there(tiny_backbone, monkeypatch):
    walk = motion_learned(tiny_backbone, recipe=MOTION_RECIPE.adjusted({"acts_until": 0.5}))
    temporal = tiny_backbone.sites_for(walk.card.recipe["trains"])[0].layer
    plain, seen = temporal.weight.detach().clone(), []
    original = type(tiny_backbone).predict

    def watched(self, latents, t, embedding):
        seen.append((int(t) <= 500, torch.equal(temporal.weight, plain)))
        return original(self, latents, t, embedding)

    monkeypatch.setattr(type(tiny_backbone), "predict", watched)
    learned(tiny_backbone, motion=walk, recipe=RECIPE.adjusted({"steps": 12}))
    assert {late for late, _ in seen} == {True, False}
    assert all(late == rests for late, rests in seen)


def test_full_weights_are_learned_after_a_motion_that_changes_others_for_a_part_of_the_way(tiny_backbone):
    walk = motion_learned(tiny_backbone, recipe=MOTION_RECIPE.adjusted({"acts_until": 0.5}))
    before, recipe = fingerprint(tiny_backbone.network), RECIPE.adjusted({"rank": None, "acts_from": 0.7})
    joint = learned(tiny_backbone, motion=walk, recipe=recipe)
    assert fingerprint(tiny_backbone.network) == before
    layers = [site.layer for site in tiny_backbone.sites_for(recipe.trains)]
    plain = [layer.weight.clone() for layer in layers]
    with attached(tiny_backbone, [(walk, 1.0), (joint, 1.0)]) as acts:
        for left, acting in ((0.71, False), (0.7, True), (0.4, True)):
            with acts(left):
                same_as_before = [
                    torch.equal(layer.weight, was) for layer, was in zip(layers, plain, strict=True)
                ]
            assert not any(same_as_before) if acting else all(same_as_before)
    assert fingerprint(tiny_backbone.network) == before


def test_beneath_full_weights_in_training_a_motion_is_exchanged_that_changes_the_same_layers(
    exact_backbone, monkeypatch
):
    trains, rate = RECIPE.trains, 1e-6
    both = MOTION_RECIPE.adjusted({"trains": trains, "acts_until": 0.5})
    walk = motion_learned(exact_backbone, recipe=both)
    before = fingerprint(exact_backbone.network)
    layer = exact_backbone.sites_for(trains)[0].layer
    plain = layer.weight.clone()
    with attached(exact_backbone, [(walk, 1.0)]):
        moved = layer.weight.clone()
    assert (moved - plain).abs().max() > 1e-3
    seen = []
    original = type(exact_backbone).predict

    def watched(self, latents, t, embedding):
        seen.append((int(t) > 500, layer.weight.detach().clone()))
        return original(self, latents, t, embedding)

    monkeypatch.setattr(type(exact_backbone), "predict", watched)
    recipe = RECIPE.adjusted({"rank": None, "steps": 12, "learning_rate": rate})
    joint = learned(exact_backbone, motion=walk, recipe=recipe)
    assert {acts for acts, _ in seen} == {True, False}
    for step, (acts, weight) in enumerate(seen):
        assert (weight - (moved if acts else plain)).abs().max() <= 4 * step * rate
    assert fingerprint(exact_backbone.network) == before
    assert 0 < max(value.abs().max() for value in joint.weights.values()) <= 4 * 12 * rate


def test_what_is_learned_after_a_motion_is_what_is_added_to_it(exact_backbone):
    """The network in the last step of learning is that with both attached, to the precision of the file."""
    walk = motion_learned(exact_backbone)
    seen = []
    original = motions.learning.denoised

    def look(backbone, *_, **__):
        seen.append(predicted(backbone))
        return original(backbone, *_, **__)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motions.learning, "denoised", look)
        patch.setattr(motions.generating, "PREVIEW_STEPS", 1)
        joint = learned(exact_backbone, motion=walk, preview=Preview(4, lambda *_: None))
    with attached(exact_backbone, [(walk, 1.0), (joint, 1.0)]):
        both = predicted(exact_backbone)
    with attached(exact_backbone, [(joint, 1.0)]):
        alone = predicted(exact_backbone)
    error = (both - seen[0]).abs().max()
    assert error < 0.05 * (alone - seen[0]).abs().max()


def test_a_motion_that_holds_no_clips_is_told_before_learning(tiny_backbone, walk):
    bare = {key: value for key, value in walk.tensors.items() if key != "latents"}
    with pytest.raises(NotFoundError, match="does not hold the clips"):
        learned(tiny_backbone, motion=Delta(walk.card, bare))


def test_motion_and_subject_act_together_from_the_motions_noise(tiny_backbone, walk, dog):
    wishes = {"prompt": "a X* dog is walking", "course": Course(1), "noise": "inverted"}
    videos = [
        generate(tiny_backbone, **wishes, deltas=deltas).frames
        for deltas in (
            [(walk, 1.0), (dog, 1.0)],
            [(dog, 1.0), (walk, 1.0)],
            [(walk, 1.0)],
            [(walk, 1.0), (dog, 0.0)],
        )
    ]
    assert np.array_equal(videos[0], videos[1])  # whichever is named first
    assert not np.array_equal(videos[0], videos[2])
    assert not np.array_equal(videos[0], videos[3])


def test_with_a_subject_what_stands_still_is_not_guided_by_default(tiny_backbone, walk, dog, monkeypatch):
    own = Course(4, guide_from=0.5, still_guidance=3.0)
    monkeypatch.setattr(tiny_backbone, "spec", dataclasses.replace(tiny_backbone.spec, course=own))
    for deltas, expected in (([walk], own), ([walk, dog], Course(4, guide_from=0.5))):
        told = {"noise": "inverted", "deltas": [(each, 1.0) for each in deltas]}
        default, same = (generate(tiny_backbone, PROMPT, course=each, **told) for each in (None, expected))
        assert np.array_equal(default.frames, same.frames)
    guided = generate(tiny_backbone, PROMPT, course=own, **told)
    assert not np.array_equal(guided.frames, default.frames)


def test_the_vectors_of_a_word_from_elsewhere_stand_where_its_token_is_said(tiny_backbone, tmp_path, dog):
    said = torch.cat([tiny_backbone.word_vectors(letter) for letter in "cat"])
    save_file({"<pet>": said}, tmp_path / "pet.safetensors")
    file = foreign.read(tmp_path / "pet.safetensors")
    pet = textual_inversion.of(file, 16, [TOKEN])
    wishes = {"course": Course(1), "deltas": [(dog, 1.0)]}
    found = generate(tiny_backbone, "a <pet> beside a X* dog", inversions=[pet], **wishes).frames
    expected = generate(tiny_backbone, "a c a t beside a X* dog", **wishes).frames
    assert np.array_equal(found, expected)
    other = generate(tiny_backbone, "a pet beside a X* dog", inversions=[pet], **wishes).frames
    assert not np.array_equal(found, other)
