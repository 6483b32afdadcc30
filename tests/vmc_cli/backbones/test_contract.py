"""What every family promises, on tiny random models; and the published networks, without their weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from registry.store import Store
from tests.vmc_cli.conftest import (
    SIZE,
    TOKENS,
    fingerprint,
    tiny_spec,
    write_tiny_animatediff,
    write_tiny_model,
)
from vmc_cli import backbones, motions, recipes
from vmc_cli.backbones import animatediff, framewise, unet3d
from vmc_cli.backbones.base import Backbone, Site
from vmc_cli.clip import Clip
from vmc_cli.course import Course
from vmc_cli.delta import Delta

# What writes a tiny one, its family, and its temporal transformers by their blocks.
FAMILIES: dict[str, tuple[Callable[[Path], None], str, dict[str, int]]] = {
    "unet3d": (write_tiny_model, "unet3d", {"down_blocks": 2, "mid_block": 1, "up_blocks": 4}),
    "animatediff-v1-5-2": (
        write_tiny_animatediff,
        "animatediff",
        {"down_blocks": 3, "mid_block": 1, "up_blocks": 6},
    ),
    "animatediff-v1-5-3": (
        lambda folder: write_tiny_animatediff(folder, mid=False),
        "animatediff",
        {"down_blocks": 3, "up_blocks": 6},
    ),
}
ADAPTERS = [name for name in FAMILIES if name.startswith("animatediff")]
ROLES = {
    "temporal-attention": {"to_q", "to_k", "to_v", "to_out.0"},
    "temporal-feed-forward": {"net.0.proj", "net.2"},
    "temporal-projection": {"proj_in", "proj_out"},
    "spatial-self-attention": {"to_q", "to_k", "to_v", "to_out.0"},
    "spatial-cross-attention": {"to_q", "to_k", "to_v", "to_out.0"},
    "spatial-convolution": {"conv1", "conv2"},
}
TRAINS = recipes.RECIPES["vmc"].trains
TOKEN = recipes.RECIPES["token"].trains
TEMPORAL_OR_TEXT = r".*(temp_|motion_modules|transformer_in).*|.*\.attentions\..*\.attn2\.to_[kv]\.weight"
"""Parameters that V* trains, as networks call them."""


@pytest.fixture(scope="module", params=FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def backbone(name: str, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    write, family, _ = FAMILIES[name]
    folder = tmp_path_factory.mktemp(name)
    write(folder)
    return backbones.load(tiny_spec(folder, family), "cpu")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8), 8.0)


def token_weights(network: torch.nn.Module, sites: list[Site]) -> int:
    """How many weights the method token trains, which must be all but biases and those of norms."""
    trained = {f"{site.name}.weight" for site in sites if site.key in TOKEN}
    wanted = {
        name: parameter.numel()
        for name, parameter in network.named_parameters()
        if re.fullmatch(TEMPORAL_OR_TEXT, name) and parameter.ndim > 1
    }
    assert trained == wanted.keys()
    return sum(wanted.values())


def transformers_of(sites: list[Site]) -> set[str]:
    """The temporal transformers that the sites of temporal attention lie in."""
    return {site.name.partition(".transformer_blocks")[0] for site in sites if site.key in TRAINS}


def test_frames_become_latents_of_their_order_and_frames_again(backbone: Backbone, clip: Clip) -> None:
    latents = backbone.encode(clip.frames)
    assert latents.shape == (1, *backbone.latent_shape) == (1, 4, 4, SIZE // 8, SIZE // 8)
    assert latents.dtype is torch.float32
    assert torch.equal(backbone.encode(clip.frames[::-1]), latents.flip(2))
    decoded = backbone.decode(latents)
    assert decoded.shape == clip.frames.shape
    assert decoded.dtype == np.uint8


def test_a_prediction_depends_on_noise_time_prompt_and_the_other_frames(backbone: Backbone) -> None:
    latents = torch.randn(2, *backbone.latent_shape, generator=torch.Generator().manual_seed(0))
    prompts = backbone.embed(["a cat", "a bird"])
    assert prompts.shape == (2, TOKENS, 16)
    with torch.no_grad():
        base = backbone.predict(latents, torch.tensor([10, 900]), prompts)
        assert base.shape == latents.shape
        assert base.dtype is torch.float32
        assert not torch.allclose(base, backbone.predict(latents, 10, prompts))
        swapped = backbone.predict(latents, torch.tensor([10, 900]), prompts.flip(0))
        assert (swapped - base)[0].abs().max() > 1e-4
        assert (swapped - base)[1].abs().max() > 1e-4
        alone = backbone.predict(latents[1:], 900, prompts[1:])
        assert (alone - base[1:]).abs().max() < 0.1 * base.abs().max()
        changed = latents.clone()
        changed[:, :, 0] += 1
        difference = backbone.predict(changed, torch.tensor([10, 900]), prompts) - base
    assert difference[:, :, 3].abs().max() > 1e-4


def test_sites_are_found_by_name_and_role(backbone: Backbone, name: str) -> None:
    sites = backbone.sites()
    for role, projections in ROLES.items():
        assert {site.projection for site in sites if site.role == role} == projections
    for site in sites:
        assert site.layer is backbone.network.get_submodule(site.name)
    blocks = [transformer.partition(".")[0] for transformer in transformers_of(sites)]
    assert {block: blocks.count(block) for block in blocks} == FAMILIES[name][2]
    spatial = {site.name for site in sites if site.role.startswith("spatial")}
    assert spatial
    assert not spatial & {site.name for site in sites if site.role.startswith("temporal")}


def test_a_motion_is_learned_saved_loaded_and_generated_and_the_network_is_as_before(
    backbone: Backbone, clip: Clip, tmp_path: Path
) -> None:
    before = fingerprint(backbone.network)
    recipe = recipes.RECIPES["vmc"].adjusted(
        {"steps": 3, "rank": 2, "inversion_steps": 3, "learning_rate": 1e-2}
    )
    footage = motions.Footage.of(backbone, [clip], recipe)
    delta = motions.learn(backbone, footage, name="walk", prompt="a cat is walking", recipe=recipe, seed=0)
    assert fingerprint(backbone.network) == before
    store = Store(tmp_path)
    with store.writing("walk") as slot:
        delta.save(slot)
    loaded = Delta.load(store, "walk")
    assert loaded.card == delta.card
    videos = [
        motions.generate(backbone, "a bird", deltas=[(loaded, strength)], course=Course(2))
        for strength in (1.0, 0.0)
    ]
    assert videos[0].frames.shape == clip.frames.shape
    assert not np.array_equal(videos[0].frames, videos[1].frames)
    assert fingerprint(backbone.network) == before


def test_zeroscope_and_modelscope_have_the_sizes_that_are_published() -> None:
    from diffusers import UNet3DConditionModel

    with torch.device("meta"):
        network = UNet3DConditionModel()  # its defaults are their configuration
    sites = framewise.find_sites(network, unet3d.ROLES)
    trained = [site for site in sites if site.key in TRAINS]
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_411_233_860
    assert sum(site.layer.weight.numel() for site in trained) == 74_342_400
    assert token_weights(network, sites) == 570_368_000
    assert len(transformers_of(sites)) == 16
    assert not any("transformer_in" in site.name for site in trained)
    widths = [site.layer.weight.shape for site in trained]
    assert {shape: widths.count(shape) for shape in widths} == {
        (320, 320): 30,
        (640, 640): 30,
        (1280, 1280): 36,
    }


@pytest.mark.parametrize(
    ("mid", "parameters", "found", "trained"),
    [(True, 1_312_730_244, 21, 123_494_400), (False, 1_276_658_564, 20, 113_664_000)],
    ids=["v1-5-2", "v1-5-3"],
)
def test_animatediff_has_the_sizes_that_are_published(
    mid: bool, parameters: int, found: int, trained: int
) -> None:
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    with torch.device("meta"):
        images = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        adapter = MotionAdapter(use_motion_mid_block=mid)
        network = UNetMotionModel.from_unet2d(images, adapter, load_weights=False)
    sites = framewise.find_sites(network, animatediff.ROLES)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(transformers_of(sites)) == found
    assert sum(site.layer.weight.numel() for site in sites if site.key in TRAINS) == trained
    assert token_weights(network, sites) > trained
