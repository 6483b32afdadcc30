"""Less memory, the same gradients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.vmc_cli.conftest import fingerprint, tiny_spec, write_tiny_animatediff
from vmc_cli import adapters, backbones
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.checkpointing import KINDS, checkpointed
from vmc_cli.backbones.spec import MOTION_MODULES
from vmc_cli.costs import Meter
from vmc_cli.device import generator
from vmc_cli.recipes import RECIPES
from vmc_cli.training import Lesson

CHANGES: dict[str, dict[str, object]] = {
    "vmc": {"rank": 2},
    "vmc-full": {"rank": None},
    "inversion": {},
    "director": {"rank": 2},
    "token": {"rank": 2},
}


@pytest.fixture(params=["unet3d", "animatediff"])
def backbone(
    request: pytest.FixtureRequest, exact_backbone: Backbone, _animatediff: Backbone
) -> Iterator[Backbone]:
    chosen = exact_backbone if request.param == "unet3d" else _animatediff
    before = fingerprint(chosen.network)
    yield chosen
    assert fingerprint(chosen.network) == before


@pytest.fixture(scope="module")
def _animatediff(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("animatediff")
    write_tiny_animatediff(folder)
    return backbones.load(tiny_spec(folder, "animatediff"), "cpu")


def taught(backbone: Backbone, method: str, kind: str) -> tuple[dict[str, Tensor], Meter]:
    """The gradients of one step of learning, and what it took."""
    source = generator(3)
    recipe = RECIPES[method.partition("-")[0]].adjusted(CHANGES[method])
    if backbone.spec.family == "animatediff":
        recipe = recipe.adjusted(MOTION_MODULES.get(recipe.method, {}))
    clip = torch.randn(1, *backbone.latent_shape, generator=source)
    embedding = backbone.embed(["a cat"])
    adapter = adapters.place(backbone, recipe.adaptation)
    with Meter(backbone.device) as meter, adapter.trained(source) as trainable:
        for parameter in trainable.parameters.values():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1, generator=source)
        paths = adapters.Paths(backbone, recipe.aside, 1, source)
        with checkpointed(backbone.network, kind):
            examples = [(clip, lambda: embedding)]
            Lesson(backbone, examples, recipe, trainable, paths, source, Tensor.backward).learn([0])
        parameters = {**trainable.parameters, **paths.parameters}
        return {key: each.grad for key, each in parameters.items() if each.grad is not None}, meter


@pytest.mark.parametrize("method", CHANGES)
def test_gradients_are_the_same_to_the_bit_and_the_network_is_as_before(
    backbone: Backbone, method: str
) -> None:
    whole, _ = taught(backbone, method, "none")
    assert sum(bool(gradient.any()) for gradient in whole.values()) > len(whole) / 2
    for kind in ("selective", "full"):
        found, _ = taught(backbone, method, kind)
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[key], whole[key]) for key in whole)
    assert not any("forward" in vars(module) for module in backbone.network.modules())


def test_each_kind_takes_less_memory_and_computes_more_than_the_one_before(backbone: Backbone) -> None:
    meters = [taught(backbone, "vmc", kind)[1] for kind in KINDS]
    peaks, flops = [meter.peak for meter in meters], [meter.flops for meter in meters]
    assert peaks == sorted(set(peaks), reverse=True)
    assert flops == sorted(set(flops))


def test_the_wrappers_go_away_after_an_error_too(backbone: Backbone) -> None:
    with pytest.raises(KeyboardInterrupt), checkpointed(backbone.network, "full"):
        raise KeyboardInterrupt
    assert not any("forward" in vars(module) for module in backbone.network.modules())


def test_what_is_computed_without_gradients_stays_the_same(backbone: Backbone) -> None:
    latents = torch.randn(1, *backbone.latent_shape, generator=generator(0))
    with torch.no_grad():
        embedding = backbone.embed(["a cat"])
        plain = backbone.predict(latents, 500, embedding)
        for kind in ("selective", "full"):
            with checkpointed(backbone.network, kind):
                assert torch.equal(backbone.predict(latents, 500, embedding), plain)
