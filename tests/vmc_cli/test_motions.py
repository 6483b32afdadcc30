import dataclasses
import datetime

import numpy as np
import pytest
import safetensors.numpy
import torch

from registry.card import Source
from registry.store import Store
from tests.vmc_cli.conftest import fingerprint, tiny_spec, write_tiny_model
from tests.vmc_cli.training.conftest import Watched
from vmc_cli import adapters, backbones, motions, sampling, training
from vmc_cli.checkpoints import Checkpoint
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta
from vmc_cli.device import generator
from vmc_cli.errors import ClipError, IncompatibleError, NotFoundError, OutOfMemory, Stopped, UsageError
from vmc_cli.motions import Footage, footage, generate, learn, reconstruction
from vmc_cli.recipes import DEFAULT_NOISE, RECIPES, Recipe

RECIPE = RECIPES["vmc"].adjusted({"steps": 3, "rank": 2, "inversion_steps": 3, "learning_rate": 1e-2})
PROMPT = "a bird is walking in the city"
CAT = "a cat is walking in the sea"


def clip(seed=0, frames=4, size=32):
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)
    return Clip(pixels, 12.5)


CLIP = clip()


def learned(backbone, clips=(CLIP,), **options):
    film = {key: options.pop(key) for key in ("sources", "token", "others") if key in options}
    wishes = {"name": "walk", "prompt": PROMPT, "recipe": RECIPE, "seed": 0, **options}
    return learn(backbone, Footage.of(backbone, clips, **film), **wishes)


@pytest.fixture
def delta(tiny_backbone):
    return learned(tiny_backbone)


def generated(backbone, prompt=CAT, **options):
    return generate(backbone, prompt, **{"steps": 2, **options}).frames


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


def test_the_preview_is_the_first_clip_made_small(tiny_backbone):
    delta = learned(tiny_backbone, [clip(1), clip(2)])
    assert np.array_equal(delta.tensors["preview"].numpy(), clip(1).frames)
    small = footage._small(clip(size=256))
    assert small.shape == (4, 64, 64, 3)
    frame = clip(size=256).frames[2].astype(float)
    block = frame[8:12, 20:24].mean(axis=(0, 1))
    assert np.abs(small[2, 2, 5].numpy() - block).max() <= 1


def test_a_motion_can_be_learned_backward_from_what_it_holds(exact_backbone):
    clips = [clip(1), clip(2)]
    delta = learned(exact_backbone, clips)
    wishes = {"name": "back", "prompt": "a bird is walking backward", "recipe": RECIPE, "seed": 3}
    backward = learn(exact_backbone, Footage.backward(exact_backbone, delta), **wishes)
    fresh = learned(exact_backbone, [each.reversed() for each in clips], **wishes)
    for key in ("latents", "preview"):
        assert torch.equal(backward.tensors[key], fresh.tensors[key])
    for key, value in fresh.tensors.items():  # learned from latents in half precision
        torch.testing.assert_close(backward.tensors[key], value, rtol=0.1, atol=0.05)
    assert (backward.card.prompt_used, backward.card.fps) == ("a bird is walking backward", 12.5)
    assert backward.card.extra == {"reversed": "walk"}


def test_a_motion_without_its_clips_can_be_used_but_not_reversed(tiny_backbone, delta):
    bare = Delta(delta.card, {key: value for key, value in delta.tensors.items() if key != "latents"})
    assert generated(tiny_backbone, deltas=[(bare, 1.0)]).shape == (4, 32, 32, 3)
    with pytest.raises(NotFoundError, match="does not hold the clips"):
        Footage.backward(tiny_backbone, bare)


@pytest.mark.parametrize("wrong", [[], [clip(frames=3)], [clip(), clip(size=16)]])
def test_clips_of_another_size_are_refused(tiny_backbone, wrong):
    with pytest.raises(ClipError, match="4 frames of 32x32"):
        learned(tiny_backbone, wrong)


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
    assert generate(tiny_backbone, CAT, steps=1).fps == tiny_backbone.spec.fps


def test_a_motion_of_another_backbone_is_one_sentence(tiny_backbone, delta, tmp_path):
    write_tiny_model(tmp_path / "other", "AutoencoderKL")
    other = backbones.load(tiny_spec(tmp_path / "other"), "cpu")
    with pytest.raises(IncompatibleError, match="learned on revision"):
        generate(other, CAT, deltas=[(delta, 1.0)])
    longer = dataclasses.replace(delta.card, frames=16)
    with pytest.raises(IncompatibleError, match="16 frames"):
        generate(tiny_backbone, CAT, deltas=[(delta, 1.0), (Delta(longer, delta.tensors), 1.0)])


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
    assert 0 <= motion_size - sum(len(tensor.data) for tensor in written) <= 4 * 3 * (64**2 - 32**2)
    for path in checkpoint.folder.glob("*.safetensors"):
        tensors = safetensors.numpy.load_file(path)
        assert 0 < sum(tensor.nbytes for tensor in tensors.values()) - state_size < 10_000


def test_generating_leaves_the_network_clean_when_it_is_stopped(tiny_backbone, delta):
    before = fingerprint(tiny_backbone.network)
    with pytest.raises(Stopped):
        generated(tiny_backbone, deltas=[(delta, 1.0)], progress=Watched(stop_after=1))
    assert fingerprint(tiny_backbone.network) == before


@pytest.mark.parametrize("where", ["encode", "predict", "decode"])
def test_running_out_of_memory_anywhere_is_one_sentence(tiny_backbone, delta, where, monkeypatch):
    before = fingerprint(tiny_backbone.network)

    def fails(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(tiny_backbone), where, fails)
    with pytest.raises(OutOfMemory, match="not enough memory to"):
        learned(tiny_backbone) if where == "encode" else generated(tiny_backbone, deltas=[(delta, 1.0)])
    assert fingerprint(tiny_backbone.network) == before


def test_the_stages_are_told(tiny_backbone, delta):
    watched = Watched()
    learned(tiny_backbone, [clip(1), clip(2)], progress=watched)
    assert watched.stages == [("Inverting", 3), ("Inverting", 3), ("Learning", 3)]
    watched = Watched()
    generated(tiny_backbone, deltas=[(delta, 1.0)], progress=watched)
    assert watched.stages == [("Generating", 2)]


def test_what_is_reconstructed_is_what_the_network_sees_behind_noise(tiny_backbone, monkeypatch):
    shown = clip()
    latents = tiny_backbone.encode(shown.frames)
    schedule, seen = tiny_backbone.schedule, []

    def right(self, noisy, t, embedding):
        t = torch.tensor([int(t)])
        noise = (noisy - schedule.signal[t].float() * latents) / schedule.noise[t].float()
        assert 0.5 < noise.std() < 2
        return self.target(latents, noise, t)

    monkeypatch.setattr(type(tiny_backbone), "predict", right)
    monkeypatch.setattr(type(tiny_backbone), "decode", lambda self, clean: seen.append(clean) or shown.frames)
    reconstruction(tiny_backbone, shown)
    torch.testing.assert_close(seen[0], latents, atol=1e-4, rtol=1e-4)


def test_reconstruction_is_a_psnr(tiny_backbone, monkeypatch):
    frames = clip().frames // 2
    monkeypatch.setattr(type(tiny_backbone), "decode", lambda self, latents: frames + 10)
    assert reconstruction(tiny_backbone, Clip(frames, 8.0)) == pytest.approx(20 * np.log10(255 / 10))
    monkeypatch.setattr(type(tiny_backbone), "decode", lambda self, latents: frames)
    assert reconstruction(tiny_backbone, Clip(frames, 8.0)) == float("inf")


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
        generate(tiny_backbone, CAT, deltas=[(delta, 1.0)], noise="random", steps=1, seed=8)
    assert torch.equal(seen[0][0], noise)
    assert not seen[0][1]
