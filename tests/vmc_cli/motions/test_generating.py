"""What decides a video: the prompt, the motions, the noise and the seed, and nothing else."""

import dataclasses

import numpy as np
import pytest
import torch

from registry.store import Store
from tests.vmc_cli.conftest import fingerprint, tiny_spec, write_tiny_model
from tests.vmc_cli.motions.conftest import CAT, RECIPE, clip, generated, learned
from tests.vmc_cli.training.conftest import Watched
from vmc_cli import backbones
from vmc_cli.course import Course
from vmc_cli.delta import Delta
from vmc_cli.device import generator
from vmc_cli.errors import IncompatibleError, OutOfMemory, Stopped, UsageError
from vmc_cli.motions import generate
from vmc_cli.recipe import DEFAULT_NOISE


def test_same_seed_same_pixels_whether_the_motion_was_stored_or_not(tiny_backbone, delta, tmp_path):
    store = Store(tmp_path)
    with store.writing("walk") as slot:
        delta.save(slot)
    first = generated(tiny_backbone, deltas=[(delta, 1.0)], seed=5)
    torch.manual_seed(77)
    assert np.array_equal(generated(tiny_backbone, deltas=[(Delta.load(store, "walk"), 1.0)], seed=5), first)
    assert not np.array_equal(generated(tiny_backbone, deltas=[(delta, 1.0)], seed=6), first)
    assert first.shape == (4, 32, 32, 3)


def test_the_motion_the_prompt_and_the_negative_prompt_all_count(tiny_backbone, delta):
    base = generated(tiny_backbone, deltas=[(delta, 1.0)], noise="inverted")
    for other in (
        generated(tiny_backbone, noise="inverted", deltas=[(delta, 0.0)]),
        generated(tiny_backbone, noise="inverted", deltas=[(delta, -3.0)]),
        generated(tiny_backbone, "a dog", noise="inverted", deltas=[(delta, 1.0)]),
        generated(tiny_backbone, noise="inverted", deltas=[(delta, 1.0)], negative="a bird"),
        generated(tiny_backbone, noise="inverted", deltas=[(delta, 1.0)], guidance=1.0),
        generated(tiny_backbone, noise="inverted", deltas=[(delta, 1.0)], steps=3),
    ):
        assert not np.array_equal(other, base)


def test_a_motion_stops_acting_where_its_card_says(tiny_backbone, monkeypatch):
    recipe = RECIPE.adjusted({"acts_until": 0.5})
    delta = learned(tiny_backbone, recipe=recipe)
    weight = tiny_backbone.sites_for(recipe.trains)[0].layer.weight.detach().clone()
    original, seen = type(tiny_backbone).predict, []

    def watched(self, latents, t, embedding):
        now = self.sites_for(recipe.trains)[0].layer.weight
        seen.append((t, torch.equal(now, weight)))
        return original(self, latents, t, embedding)

    monkeypatch.setattr(type(tiny_backbone), "predict", watched)
    for _ in range(2):
        seen.clear()
        generated(tiny_backbone, deltas=[(delta, 1.0)], noise="inverted", steps=4)
        assert seen == [(999, False), (749, False), (499, True), (249, True)]


def test_strength_zero_from_random_noise_equals_no_motion(tiny_backbone, delta):
    without = generated(tiny_backbone, seed=3)
    assert np.array_equal(generated(tiny_backbone, deltas=[(delta, 0.0)], noise="random", seed=3), without)
    with_motion = generated(tiny_backbone, deltas=[(delta, 1.0)], noise="random", seed=3)
    assert not np.array_equal(with_motion, without)


def test_the_default_noise_is_the_motions_with_a_motion_and_random_without(tiny_backbone, delta):
    deltas = [(delta, 1.0)]
    default = generated(tiny_backbone, deltas=deltas)
    assert np.array_equal(default, generated(tiny_backbone, deltas=deltas, noise=DEFAULT_NOISE))
    assert np.array_equal(generated(tiny_backbone), generated(tiny_backbone, noise="random"))
    with pytest.raises(UsageError, match="made from a motion"):
        generated(tiny_backbone, noise="inverted")


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ({"guidance": 2.0}, {"guidance": 7.5}),
        ({"guide_from": 0.5}, {"guide_from": 1.0}),
        ({"guide_until": 0.5}, {"guide_until": 0.0}),
        ({"eta": 1.0}, {"eta": 0.0}),
        ({"solver": "dpm++"}, {"solver": "ddim"}),
    ],
)
def test_the_course_is_the_models_own_unless_told(tiny_backbone, delta, own, other, monkeypatch):
    spec = dataclasses.replace(tiny_backbone.spec, course=Course(**own))
    monkeypatch.setattr(tiny_backbone, "spec", spec)
    default, same, differs = (
        generated(tiny_backbone, deltas=[(delta, 1.0)], steps=8, **told) for told in ({}, own, other)
    )
    assert np.array_equal(default, same)
    assert not np.array_equal(default, differs)


def test_random_noise_is_guided_from_the_beginning(tiny_backbone, delta):
    deltas = [(delta, 1.0)]
    late, ever = (
        generated(tiny_backbone, deltas=deltas, noise="random", steps=4, guide_from=begin)
        for begin in (0.5, 1.0)
    )
    assert np.array_equal(late, ever)


def test_inverted_noise_is_the_same_for_every_seed(tiny_backbone, delta):
    videos = [generated(tiny_backbone, deltas=[(delta, 1.0)], noise="inverted", seed=seed) for seed in (1, 2)]
    assert np.array_equal(*videos)


def test_the_noise_comes_from_the_first_motion(tiny_backbone, delta):
    other = learned(tiny_backbone, [clip(9)])
    videos = [
        generated(tiny_backbone, deltas=[(delta, 0.0), (other, 0.0)], noise="inverted"),
        generated(tiny_backbone, deltas=[(delta, 0.0)], noise="inverted"),
        generated(tiny_backbone, deltas=[(other, 0.0)], noise="inverted"),
    ]
    assert np.array_equal(videos[0], videos[1])
    assert not np.array_equal(videos[0], videos[2])


def test_the_seed_chooses_among_the_noises_of_several_clips(tiny_backbone):
    delta = learned(tiny_backbone, [clip(1), clip(2)])
    singles = []
    for number in range(2):
        one = {key: delta.tensors[key][number : number + 1] for key in ("start_noise", "latents")}
        tensors = {**delta.tensors, **one}
        single = dataclasses.replace(delta, tensors=tensors)
        singles.append(generated(tiny_backbone, deltas=[(single, 1.0)], noise="inverted"))
    chosen = set()
    for seed in range(12):
        video = generated(tiny_backbone, deltas=[(delta, 1.0)], noise="inverted", seed=seed)
        chosen.add([np.array_equal(video, single) for single in singles].index(True))
    assert chosen == {0, 1}


def test_a_video_plays_at_the_models_rate(tiny_backbone):
    assert generate(tiny_backbone, CAT, course=Course(1)).fps == tiny_backbone.spec.fps


def test_a_motion_of_another_backbone_is_one_sentence(tiny_backbone, delta, tmp_path):
    write_tiny_model(tmp_path / "other", "AutoencoderKL")
    other = backbones.load(tiny_spec(tmp_path / "other"), "cpu")
    with pytest.raises(IncompatibleError, match="learned on revision"):
        generate(other, CAT, deltas=[(delta, 1.0)])
    longer = dataclasses.replace(delta.card, frames=16)
    with pytest.raises(IncompatibleError, match="16 frames"):
        generate(tiny_backbone, CAT, deltas=[(delta, 1.0), (Delta(longer, delta.tensors), 1.0)])


def test_generating_leaves_the_network_clean_when_it_is_stopped(tiny_backbone, delta):
    before = fingerprint(tiny_backbone.network)
    with pytest.raises(Stopped):
        generated(tiny_backbone, deltas=[(delta, 1.0)], progress=Watched(stop_after=1))
    assert fingerprint(tiny_backbone.network) == before


@pytest.mark.parametrize("where", ["predict", "decode"])
def test_running_out_of_memory_anywhere_is_one_sentence(tiny_backbone, delta, where, monkeypatch):
    before = fingerprint(tiny_backbone.network)

    def fails(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(tiny_backbone, where, fails)
    with pytest.raises(
        OutOfMemory, match=r"generate this video: it takes 0\.0 GiB, and [0-9.]+ GiB were free"
    ):
        generated(tiny_backbone, deltas=[(delta, 1.0)])
    assert fingerprint(tiny_backbone.network) == before


def test_the_stages_are_told(tiny_backbone, delta):
    watched = Watched()
    learned(tiny_backbone, [clip(1), clip(2)], progress=watched)
    assert watched.stages == [("Inverting", 3), ("Inverting", 3), ("Learning", 3)]
    watched = Watched()
    generated(tiny_backbone, deltas=[(delta, 1.0)], progress=watched)
    assert watched.stages == [("Generating", 2)]


def test_generate_is_sample_on_the_merged_network(tiny_backbone, delta):
    noise = torch.randn(1, *tiny_backbone.latent_shape, generator=generator(8))
    site = tiny_backbone.sites_for(RECIPE.trains)[0]
    plain = site.layer.weight
    seen = []
    original = type(tiny_backbone).predict

    def watches(self, latents, t, context):
        seen.append((latents[:1].clone(), site.layer.weight is plain))
        return original(self, latents, t, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(tiny_backbone), "predict", watches)
        generate(tiny_backbone, CAT, deltas=[(delta, 1.0)], noise="random", course=Course(1), seed=8)
    assert torch.equal(seen[0][0], noise)
    assert not seen[0][1]
