import contextlib
import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from registry.errors import Damaged
from tests.vmc_cli.motions.conftest import RECIPE, clip, generated, learned
from vmc_cli import sampling
from vmc_cli.adapters import all_along
from vmc_cli.blending import blended
from vmc_cli.clip import Clip
from vmc_cli.motions import file_sizes
from vmc_cli.motions.starting import COMPARED, best_explained, comparisons, start_of

COLOURED = RECIPE.adjusted({"recoloured": True, "batch": 4})
PROMPTS = ("a dog is walking", "a red bird in the city", "an apple", "somebody rows a boat at night")


@pytest.fixture
def coloured(tiny_backbone):
    return learned(tiny_backbone, [clip(1), clip(2)], recipe=COLOURED)


def colourings(given):
    """The clip itself, its hues turned by a third and two thirds, and the negatives of these three."""
    turned = [given.frames[..., order] for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1])]
    return [Clip(np.ascontiguousarray(frames), given.fps) for frames in [*turned, *(255 - f for f in turned)]]


def test_a_recoloured_motion_holds_the_noise_of_each_clip_in_six_colourings(tiny_backbone, coloured):
    noise, shown = coloured.tensors["start_noise"], coloured.tensors["start_latents"]
    assert noise.shape == shown.shape == (2, 6, *tiny_backbone.latent_shape)
    for number, given in enumerate((clip(1), clip(2))):
        for found, seen, each in zip(noise[number], shown[number], colourings(given), strict=True):
            latents = tiny_backbone.encode(each.frames)
            torch.testing.assert_close(seen[None], latents.half())
            inverted = sampling.invert(tiny_backbone, latents, steps=COLOURED.inversion_steps)
            torch.testing.assert_close(found[None].float(), inverted, rtol=2e-3, atol=2e-3)


def test_a_motion_in_its_own_colours_alone_is_stored_as_ever(tiny_backbone, delta):
    assert "start_latents" not in delta.tensors
    assert delta.tensors["start_noise"].shape == (1, *tiny_backbone.latent_shape)
    assert delta.start_noise.shape == (1, 1, *tiny_backbone.latent_shape)
    assert delta.start_latents is None


def errors(backbone, latents, embedding, seed):
    """Mean squares of what is predicted wrongly of each, at nine tenths of the noising."""
    t = torch.tensor([round(0.9 * backbone.schedule.train_timesteps)])
    drawn = torch.randn(1, *latents.shape[1:], generator=torch.Generator().manual_seed(seed ^ 0x10AD_0000))
    found = []
    for clean in latents.split(1):
        with torch.no_grad():
            predicted = backbone.predict(backbone.noised(clean, drawn, t), t, embedding)
        found.append(float(F.mse_loss(predicted, backbone.target(clean, drawn, t))))
    return found


@pytest.mark.parametrize("together", [False, True])
def test_the_colouring_is_the_one_that_the_prompt_explains_with_the_least_error(
    tiny_backbone, coloured, together
):
    chosen = set()
    for seed, prompt in enumerate(PROMPTS):
        embedding, latents = tiny_backbone.embed([prompt]), coloured.start_latents[seed % 2]
        wanted = errors(tiny_backbone, latents, embedding, seed)
        choose = partial(best_explained, tiny_backbone, latents, embedding, seed=seed, acts=all_along)
        chosen.add(choose(together=together))
        assert choose(together=together) == min(range(6), key=wanted.__getitem__)
    assert len(chosen) > 1


def test_what_acts_acts_as_at_that_level(tiny_backbone, coloured):
    seen = []

    @contextlib.contextmanager
    def acts(left):
        seen.append(left)
        yield

    best_explained(
        tiny_backbone,
        coloured.start_latents[0],
        tiny_backbone.embed(["a dog"]),
        seed=0,
        acts=acts,
        together=True,
    )
    assert seen == [COMPARED]


def test_a_video_starts_from_the_colouring_that_is_chosen(tiny_backbone, coloured):
    inverted = coloured.start_noise
    asked = []
    start = start_of(tiny_backbone, "inverted", inverted, 3, lambda number: asked.append(number) or 4)
    assert torch.equal(start, inverted[asked[0], 4][None])
    assert torch.equal(start_of(tiny_backbone, "inverted", inverted, 3), inverted[asked[0], 0][None])

    def never(number):
        raise AssertionError("random noise is of no colouring")

    random = start_of(tiny_backbone, "random", inverted, 3, never)
    assert torch.equal(random, start_of(tiny_backbone, "random", None, 3))


def test_a_video_starts_from_the_colouring_that_its_prompt_explains_best(tiny_backbone):
    delta = learned(tiny_backbone, recipe=COLOURED)
    chosen = set()
    for seed, prompt in enumerate(PROMPTS):
        told = {"noise": "inverted", "seed": seed}
        video = generated(tiny_backbone, prompt, deltas=[(delta, 0.0)], **told)
        wanted = errors(tiny_backbone, delta.start_latents[0], tiny_backbone.embed([prompt]), seed)
        number = min(range(6), key=wanted.__getitem__)
        tensors = {**delta.tensors, "start_noise": delta.tensors["start_noise"][:, number]}
        del tensors["start_latents"]
        plain = dataclasses.replace(delta, tensors=tensors)
        assert np.array_equal(video, generated(tiny_backbone, prompt, deltas=[(plain, 0.0)], **told))
        chosen.add(number)
    assert len(chosen) > 1


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("start_latents"),
        lambda tensors: tensors.update(start_latents=tensors["start_latents"][:, :5]),
        lambda tensors: tensors.update(start_noise=tensors["start_noise"][:, 0]),
        lambda tensors: tensors.update(start_noise=tensors["start_noise"][:, :0]),
        lambda tensors: tensors.update(start_latents=tensors["start_latents"] + float("nan")),
    ],
)
def test_noise_without_what_it_was_made_from_is_refused(tiny_backbone, coloured, change):
    tensors = dict(coloured.tensors)
    change(tensors)
    with pytest.raises(Damaged):
        dataclasses.replace(coloured, tensors=tensors).adapter(tiny_backbone)


def test_a_blend_keeps_the_colourings_of_its_first_motion(tiny_backbone, coloured, delta):
    blend = blended([(coloured, 1.0), (delta, 0.5)], "both")
    blend.adapter(tiny_backbone)
    for key in ("start_noise", "start_latents"):
        assert torch.equal(blend.tensors[key], coloured.tensors[key])


def test_the_size_of_a_recoloured_motion_is_told_before(tiny_backbone, coloured):
    told, _ = file_sizes(tiny_backbone, COLOURED, clips=2)
    held = sum(each.numel() * each.element_size() for each in coloured.tensors.values())
    preview = coloured.tensors["preview"].numel()
    assert told - 2 * 4 * 64**2 * 3 == held - preview  # previews of models larger than this are of 64 pixels


def test_choosing_among_six_takes_a_prediction_of_each():
    assert (comparisons(RECIPE), comparisons(COLOURED)) == (0, 6)
