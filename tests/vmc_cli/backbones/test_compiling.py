"""What is compiled computes the same, sees all that acts on the network, and is gone afterwards.

What can go wrong with networks and hooks is tracing, so most tests stop there, compute the traces as they
are, and look at the layers that motions act in. Code comes of it in the stress session.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import Tensor
from torch._dynamo.utils import counters
from torch._inductor.runtime.cache_dir_utils import cache_dir

from tests.vmc_cli.conftest import (
    fingerprint,
    load_exact,
    tiny_spec,
    write_tiny_animatediff,
    write_tiny_model,
)
from vmc_cli import adapters, backbones
from vmc_cli.backbones import compiling, placement
from vmc_cli.backbones.base import Backbone
from vmc_cli.commands import checks
from vmc_cli.device import generator
from vmc_cli.errors import IncompatibleError, UsageError
from vmc_cli.recipe import Span
from vmc_cli.recipes import RECIPES

HERE = torch.device("cpu", 0)  # the CPU by another name: weights are swapped, and numbers stay


def load(folder: Path, family: str) -> Backbone:
    if family == "unet3d":
        write_tiny_model(folder, blocks=1)
    else:
        write_tiny_animatediff(folder)
    return backbones.load(tiny_spec(folder, family), "cpu")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load(tmp_path_factory.mktemp("unet3d"), "unet3d")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    counters.clear()


@pytest.fixture
def backbone(loaded: Backbone, traced: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backbone]:
    monkeypatch.setattr(compiling, "LAYERS", (TransformerTemporalModel,))
    before = fingerprint(loaded.network)
    yield loaded
    assert fingerprint(loaded.network) == before
    assert not any("forward" in vars(module) for module in loaded.network.modules())


@torch.no_grad()
def predicted(backbone: Backbone, t: int = 500, videos: int = 1) -> Tensor:
    latents = torch.randn(1, *backbone.latent_shape, generator=generator(0))
    told = backbone.embed(["a cat"])
    return backbone.predict(latents.expand(videos, -1, -1, -1, -1), t, told.expand(videos, -1, -1))


def close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() < 0.01 * other.abs().max())


def traces() -> int:
    return counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("family", ["unet3d", "animatediff"])
def test_it_computes_the_same_without_a_break_and_compiles_nothing_twice(
    family: str, traced: None, tmp_path: Path
) -> None:
    backbone = load(tmp_path, family)
    plain = [predicted(backbone), predicted(backbone, 10)]
    with backbone.compiled():
        found = [predicted(backbone)]
        once = traces()
        found += [predicted(backbone, 10)]
        assert traces() == once
    assert all(close(one, other) for one, other in zip(found, plain, strict=True))
    assert not counters["graph_break"]
    layers = [module for module in backbone.network.modules() if isinstance(module, compiling.LAYERS)]
    assert 0 < once < len(layers)


def test_another_size_is_compiled_once_more_and_both_stay(backbone: Backbone) -> None:
    plain = [predicted(backbone, videos=videos) for videos in (1, 2, 1, 2)]
    with backbone.compiled():
        found = [predicted(backbone, videos=1)]
        once = traces()
        found += [predicted(backbone, videos=videos) for videos in (2, 1, 2)]
        assert traces() == 2 * once
    assert all(close(one, other) for one, other in zip(found, plain, strict=True))


@pytest.mark.parametrize("method", ["vmc", "inversion"])
def test_motions_in_the_network_act_and_rest_and_the_next_one_in_place_of_the_last(
    backbone: Backbone, method: str
) -> None:
    recipe = RECIPES[method].adjusted({"rank": 2} if method == "vmc" else {"blocks": "all"})
    adapter = adapters.place(backbone, recipe.adaptation)
    plain = predicted(backbone)
    for seed in (1, 2):
        source = generator(seed)
        tensors = {key: torch.randn(shape, generator=source) for key, shape in adapter.shapes().items()}
        with type(adapter).attached([(adapter, tensors, 1.0, Span(until=0.5))]) as acts:
            wanted = predicted(backbone)
            with backbone.compiled():
                assert close(predicted(backbone), wanted)
                with acts(0.5):
                    assert close(predicted(backbone), plain)
                assert close(predicted(backbone), wanted)
        assert not close(wanted, plain)


def test_hooks_that_come_and_go_meanwhile_act(backbone: Backbone) -> None:
    def doubled(module: object, inputs: Any, output: Tensor) -> Tensor:
        return 2 * output

    site = backbone.sites_for(RECIPES["vmc"].trains)[0]
    plain = predicted(backbone)
    with backbone.compiled():
        assert close(predicted(backbone), plain)
        hook = site.layer.register_forward_hook(doubled)
        hooked = predicted(backbone)
        hook.remove()
        assert close(predicted(backbone), plain)
    hook = site.layer.register_forward_hook(doubled)
    assert close(hooked, predicted(backbone))
    hook.remove()
    assert not torch.equal(hooked, plain)


def test_weights_that_come_for_their_turn_are_computed_with(backbone: Backbone) -> None:
    plain = predicted(backbone)
    with placement.offloaded(backbone.network, HERE, backbone.blocks), backbone.compiled():
        assert close(predicted(backbone), plain)
        once = traces()
        assert close(predicted(backbone), plain)
        assert traces() == once


def test_what_cannot_be_compiled_is_one_sentence(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("g++ has no idea\nwhat to do")

    monkeypatch.setattr(compiling, "BACKEND", broken)
    with (
        pytest.raises(IncompatibleError, match=r"cannot be compiled here: .*g\+\+ has no idea\.$") as caught,
        backbone.compiled(),
    ):
        predicted(backbone)
    assert caught.value.hint == "Leave out --compile."


def test_what_is_made_is_kept_where_vmc_keeps_all_else(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMC_HOME", str(tmp_path))
    before = cache_dir()
    with backbone.compiled():
        assert cache_dir() == str(tmp_path / "cache" / "compiled")
    assert cache_dir() == before


@pytest.mark.stress
def test_code_comes_of_it_that_computes_the_same_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        checks.compiler("auto")
    except UsageError as error:
        pytest.skip(error.message)
    monkeypatch.setenv("VMC_HOME", str(tmp_path))
    write_tiny_model(tmp_path / "tiny", blocks=1)
    backbone = load_exact(tmp_path / "tiny")
    plain = predicted(backbone)
    for _ in range(2):  # anew, and from what was kept
        with backbone.compiled():
            found = [predicted(backbone) for _ in range(2)]
        assert torch.equal(*found)
        assert (found[0] - plain).abs().max() < 1e-4 * plain.abs().max()
    assert list((tmp_path / "cache" / "compiled").rglob("*.so"))
