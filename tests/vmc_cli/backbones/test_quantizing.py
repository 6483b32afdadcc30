"""Frozen weights in 8 bits, and back."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.vmc_cli.conftest import fingerprint
from vmc_cli import adapters, backbones
from vmc_cli.backbones import placement
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.quantizing import Bytes, in_bytes
from vmc_cli.backbones.sprites import drawing, scenes
from vmc_cli.device import generator
from vmc_cli.losses import LOSSES
from vmc_cli.recipes import RECIPES

CPU = torch.device("cpu")
HERE = torch.device("cpu", 0)  # the CPU by another name: weights are swapped, and numbers stay
RECIPE = RECIPES["vmc"]


def trained_layers(backbone: Backbone) -> set[torch.nn.Module]:
    return {site.layer for site in adapters.place(backbone, RECIPE.adaptation).sites}


@given(
    outputs=st.integers(1, 5),
    inputs=st.sampled_from([(3,), (2, 3), (4, 3, 3), (2, 3, 1, 1)]),
    spread=st.floats(1e-6, 1e4),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_no_weight_is_off_by_more_than_half_a_step_of_its_output(
    outputs: int, inputs: tuple[int, ...], spread: float, dtype: torch.dtype
) -> None:
    weight = (spread * torch.randn(outputs, *inputs, generator=generator(outputs))).to(dtype)
    form = Bytes(dtype, CPU)
    numbers, scales = form.right_inverse(weight)
    assert numbers.dtype is torch.int8
    found = form(numbers, scales)
    assert found.dtype is dtype
    rounded = torch.finfo(dtype).eps * weight.float().abs()  # of what is computed with, and of the largest
    assert ((found - weight).float().abs() <= 0.5 * scales.float() + 2 * rounded).all()


def test_an_output_without_weights_stays_one() -> None:
    form = Bytes(torch.float32, CPU)
    assert torch.equal(form(*form.right_inverse(torch.zeros(2, 3))), torch.zeros(2, 3))


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_very_weights_of_before_are_back_bit_for_bit(
    tiny_backbone: Backbone, error: type[BaseException] | None
) -> None:
    network = tiny_backbone.network
    before, kinds = fingerprint(network), [type(module) for module in network.modules()]
    same = [id(weight) for weight in network.parameters()]
    try:
        with in_bytes(network, HERE, ()):
            assert any(weight.dtype is torch.int8 for weight in network.parameters())
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert fingerprint(network) == before
    assert [id(weight) for weight in network.parameters()] == same
    assert [type(module) for module in network.modules()] == kinds


def test_it_is_half_of_the_weights_but_for_the_layers_that_are_kept(tiny_backbone: Backbone) -> None:
    network, kept = tiny_backbone.network, trained_layers(tiny_backbone)
    before = {layer: layer.weight for layer in kept}
    large = 2 * tiny_backbone.network.dtype.itemsize // 2
    whole = placement.size(network)
    with in_bytes(network, CPU, kept):
        assert all(layer.weight is weight for layer, weight in before.items())
        held = placement.size(network)
    assert whole / large < held < 0.75 * whole


def gradients(backbone: Backbone) -> Tensor:
    """Of the motion's objective, for what is trained of low rank, at several noise levels."""
    source = generator(1)
    scene, caption = scenes.draw(random.Random(3))
    clip = backbone.encode(drawing.render(scene))
    embedding = backbone.embed([caption])
    adapter = adapters.place(backbone, RECIPE.adaptation)
    with adapter.trained(source) as trainable:
        for parameter in trainable.parameters.values():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02, generator=source)
        for step in (200, 400, 600, 800):
            t = torch.tensor([step])
            noise = torch.randn(clip.shape, generator=source)
            prediction = backbone.predict(backbone.noised(clip, noise, t), t, embedding)
            wanted = backbone.target(clip, noise, t)
            LOSSES[RECIPE.loss](prediction, wanted, 1, backbone.schedule.weight(t), source).backward()
        return torch.cat([parameter.grad.flatten() for parameter in trainable.parameters.values()])


@pytest.fixture(scope="module")
def sprites() -> Backbone:
    return backbones.load(backbones.find("sprites"), "cpu")


def test_gradients_point_where_they_did(sprites: Backbone) -> None:
    plain = gradients(sprites)
    with in_bytes(sprites.network, CPU, trained_layers(sprites)):
        held = gradients(sprites)
    assert not torch.equal(plain, held)
    assert F.cosine_similarity(plain, held, dim=0) > 0.97  # bfloat16 itself turns them by 0.996
