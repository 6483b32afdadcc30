"""What a learned motion holds, and what it was learned from."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch

from registry.card import Source
from registry.store import Store
from tests.vmc_cli.conftest import fingerprint
from tests.vmc_cli.motions.conftest import PROMPT, RECIPE, clip, generated, learned
from vmc_cli import adapters, motions, sampling, training
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta
from vmc_cli.errors import ClipError, IncompatibleError, NotFoundError
from vmc_cli.motions import Footage, learn
from vmc_cli.recipe import COLOURINGS, Recipe


def test_the_card_tells_everything_about_the_motion(tiny_backbone):
    source = Source("bird.mp4", "0" * 64)
    card = learned(tiny_backbone, seed=7, sources=[source]).card
    assert (card.name, card.backbone, card.revision) == ("walk", "tiny", tiny_backbone.revision)
    assert (card.method, Recipe.from_card(card.recipe)) == ("vmc", RECIPE)
    assert (card.prompt, card.prompt_used) == (PROMPT, "a bird is walking")
    assert (card.frames, card.height, card.width, card.fps) == (4, 32, 32, 12.5)
    assert (card.seed, card.steps, card.sources) == (7, 3, (source,))
    assert {"vmc", "torch", "diffusers", "peft"} <= card.versions.keys()
    assert datetime.datetime.fromisoformat(card.created).utcoffset() == datetime.timedelta(0)
    assert 0 < card.loss < 2
    assert card.seconds >= 0


def test_the_file_holds_exactly_the_trained_matrices_the_noise_the_latents_and_the_preview(
    tiny_backbone, delta, tmp_path
):
    store = Store(tmp_path)
    with store.writing("walk") as slot:
        delta.save(slot)
    _, tensors = store.load("walk")
    sites = tiny_backbone.sites_for(RECIPE.trains)
    expected = {key: ("F16", shape) for key, shape in adapters.shapes(sites, 2).items()}
    expected["start_noise"] = expected["latents"] = ("F16", (1, 4, 4, 4, 4))
    expected["preview"] = ("U8", (4, 32, 32, 3))
    assert {key: (value.dtype, value.shape) for key, value in tensors.items()} == expected


def test_learning_leaves_the_network_as_it_was_and_is_decided_by_the_seed(tiny_backbone, delta):
    before = fingerprint(tiny_backbone.network)
    again, other = learned(tiny_backbone), learned(tiny_backbone, seed=1)
    assert fingerprint(tiny_backbone.network) == before
    assert all(torch.equal(delta.tensors[key], again.tensors[key]) for key in delta.tensors)
    assert not all(torch.equal(delta.weights[key], other.weights[key]) for key in delta.weights)


def test_the_prompt_is_stripped_unless_it_is_kept(tiny_backbone, monkeypatch):
    asked = []
    original = type(tiny_backbone).embed
    monkeypatch.setattr(
        type(tiny_backbone),
        "embed",
        lambda self, prompts: asked.append(list(prompts)) or original(self, prompts),
    )
    assert learned(tiny_backbone).card.prompt_used == "a bird is walking"
    assert ["a bird is walking"] in asked
    assert [PROMPT] not in asked
    assert learned(tiny_backbone, keep_prompt=True).card.prompt_used == PROMPT
    assert [PROMPT] in asked
    asked.clear()
    kept = learned(tiny_backbone, recipe=RECIPE.adjusted({"invariant_prompt": False}))
    assert kept.card.prompt_used == PROMPT


def test_the_start_noise_is_the_frozen_networks_inversion_of_each_clip(tiny_backbone):
    clips = [clip(1), clip(2)]
    delta = learned(tiny_backbone, clips)
    for number, each in enumerate(clips):
        inverted = sampling.invert(tiny_backbone, tiny_backbone.encode(each.frames), steps=3)
        assert torch.equal(delta.tensors["start_noise"][number : number + 1], inverted.half())


def test_the_preview_is_all_clips_made_small(tiny_backbone):
    clips = [clip(1), clip(2)]
    delta = learned(tiny_backbone, clips)
    assert delta.tensors["preview"].shape == (8, 32, 32, 3)
    for found, given in zip(delta.previews, clips, strict=True):
        assert np.array_equal(found.frames, given.frames)


def test_a_motion_can_be_learned_backward_from_what_it_holds(exact_backbone):
    clips = [clip(1), clip(2)]
    delta = learned(exact_backbone, clips)
    wishes = {"name": "back", "prompt": "a bird is walking backward", "recipe": RECIPE, "seed": 3}
    backward = learn(exact_backbone, Footage.backward(exact_backbone, delta, RECIPE), **wishes)
    fresh = learned(exact_backbone, [each.reversed() for each in clips], **wishes)
    for key in ("latents", "preview"):
        assert torch.equal(backward.tensors[key], fresh.tensors[key])
    for key, value in fresh.tensors.items():  # learned from latents in half precision
        torch.testing.assert_close(backward.tensors[key], value, rtol=0.1, atol=0.05)
    assert (backward.card.prompt_used, backward.card.fps) == ("a bird is walking backward", 12.5)
    assert backward.card.extra == {"reversed": "walk"}


def test_a_clip_is_learned_from_in_other_colours_too_and_backward_as_well(exact_backbone):
    recipe = RECIPE.adjusted({"recoloured": True})
    forward = Footage.of(exact_backbone, [clip(1), clip(2)], recipe)
    assert len(forward.changed) == 2 * COLOURINGS == 2 * recipe.copies
    wanted = [exact_backbone.encode(other.frames) for other in clip(2).recoloured()]
    assert all(map(torch.equal, forward.changed[COLOURINGS:], wanted))

    delta = learn(exact_backbone, forward, name="walk", prompt="a bird is walking", recipe=recipe, seed=3)
    plain = learned(exact_backbone, [clip(1), clip(2)])
    assert not all(torch.equal(delta.weights[key], plain.weights[key]) for key in plain.weights)
    assert delta.card.recipe["recoloured"] is True
    assert len(delta.latents) == 2  # it holds the clips alone
    backward = Footage.backward(exact_backbone, delta, recipe)
    assert len(backward.changed) == 2 * COLOURINGS
    shown = Clip(exact_backbone.decode(delta.latents[1:].flip(2)), 12.5)
    wanted = [exact_backbone.encode(other.frames) for other in shown.recoloured()]
    assert all(map(torch.equal, backward.changed[COLOURINGS:], wanted))


def test_backward_there_are_as_many_augmented_copies_as_the_card_says(exact_backbone):
    recipe = RECIPE.adjusted({"augmented": 2, "recoloured": True})
    delta = learned(exact_backbone, [clip(1), clip(2)])
    backward = Footage.backward(exact_backbone, delta, recipe)
    assert len(backward.changed) == 2 * recipe.copies
    shown = Clip(exact_backbone.decode(delta.latents[1:].flip(2)), 12.5)
    wanted = [exact_backbone.encode(shown.augmented(number).frames) for number in range(2)]
    assert all(map(torch.equal, backward.changed[recipe.copies :], wanted))


def test_a_motion_without_its_clips_can_be_used_but_not_reversed(tiny_backbone, delta):
    bare = Delta(delta.card, {key: value for key, value in delta.tensors.items() if key != "latents"})
    assert generated(tiny_backbone, deltas=[(bare, 1.0)]).shape == (4, 32, 32, 3)
    with pytest.raises(NotFoundError, match="does not hold the clips"):
        Footage.backward(tiny_backbone, bare, RECIPE)


@pytest.mark.parametrize("wrong", [[], [clip(frames=3)], [clip(), clip(size=16)]])
def test_clips_of_another_size_are_refused(tiny_backbone, wrong):
    with pytest.raises(ClipError, match="4 frames of 32x32"):
        learned(tiny_backbone, wrong)


@pytest.mark.parametrize("rank", [2, None])
def test_the_sizes_of_the_files_are_known_before_learning_but_for_their_headers(
    tiny_backbone, tmp_path, rank
):
    recipe = RECIPE.adjusted({"rank": rank})
    checkpoint, store = Checkpoint(tmp_path / "walk", every=1), Store(tmp_path)
    motion_size, state_size = motions.file_sizes(tiny_backbone, recipe, clips=2)
    with store.writing("walk") as slot:
        learned(tiny_backbone, [clip(1), clip(2)], recipe=recipe, checkpoint=checkpoint).save(slot)
    written = store.load("walk")[1].values()
    assert 0 <= motion_size - sum(len(tensor.data) for tensor in written) <= 2 * 4 * 3 * (64**2 - 32**2)
    for path in checkpoint.folder.glob("*.safetensors"):
        tensors = safetensors.numpy.load_file(path)
        assert 0 < sum(tensor.nbytes for tensor in tensors.values()) - state_size < 10_000


def test_the_latents_are_coded_once_and_not_at_every_step(tiny_backbone, monkeypatch):
    counts = {"encode": 0, "embed": 0}
    for name in counts:
        original = getattr(type(tiny_backbone), name)

        def counted(self, value, name=name, original=original):
            counts[name] += 1
            return original(self, value)

        monkeypatch.setattr(type(tiny_backbone), name, counted)
    learned(tiny_backbone, recipe=RECIPE.adjusted({"steps": 6}))
    assert counts == {"encode": 1, "embed": 2}  # the prompt, and the empty one to invert


def test_a_learned_motion_is_what_training_gave(tiny_backbone, delta):
    latents = tiny_backbone.encode(clip().frames)
    embedding = tiny_backbone.embed(["a bird is walking"])
    trained = training.train(tiny_backbone, [latents], embedding, RECIPE, seed=0)
    assert delta.weights.keys() == trained.tensors.keys()
    for key, value in trained.tensors.items():
        assert torch.equal(delta.weights[key], value.half())


def test_actors_are_learned_from_in_place_of_the_clip_and_backward_too(exact_backbone, monkeypatch):
    asked = []

    def acted(way, count):
        asked.append(way)
        return [clip(7), clip(8)][:count]

    def moving(backward):
        frames = np.full((4, 32, 32, 3), 60, np.uint8)
        for number, frame in enumerate(frames[::-1] if backward else frames):
            frame[10:20, 2 + 6 * number : 12 + 6 * number] = 220
        return Clip(frames, 12.5)

    recipe = RECIPE.adjusted({"actors": 2})
    with pytest.raises(IncompatibleError, match="none came with it"):
        Footage.of(exact_backbone, [moving(backward=False)], recipe)
    monkeypatch.setattr(exact_backbone, "spec", replace(exact_backbone.spec, acted=acted))
    forward = Footage.of(exact_backbone, [moving(backward=False)], recipe)
    wanted = [exact_backbone.encode(each.frames) for each in (clip(7), clip(8))]
    assert all(map(torch.equal, forward.examples, wanted))
    assert len(forward.examples) == recipe.examples
    delta = learn(exact_backbone, forward, name="walk", prompt="a bird is walking", recipe=recipe, seed=3)
    assert torch.equal(delta.latents, forward.latents[0].half())  # it holds the clip, not the actors
    # This autoencoder is random: what it decodes shows nothing.
    monkeypatch.setattr(exact_backbone, "decode", lambda latents: moving(backward=True).frames)
    Footage.backward(exact_backbone, delta, recipe)
    there, back = ([x for x, _ in way.centres] for way in asked)
    assert there[0] < there[-1]
    assert back == pytest.approx(there[::-1], abs=0.05)
    with pytest.raises(ClipError, match="cut out"):
        Footage.of(exact_backbone, [clip(1)], recipe)
