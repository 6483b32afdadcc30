"""Weights come to a device and leave it again; the meta device stands in for an accelerator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from torch import nn

from tests.vmc_cli.conftest import fingerprint, tiny_spec
from vmc_cli import backbones
from vmc_cli.backbones import placement
from vmc_cli.backbones.base import Backbone
from vmc_cli.device import generator

META = torch.device("meta")
HERE = torch.device("cpu", 0)  # the CPU by another name: weights are swapped, and numbers stay


def places(module: nn.Module) -> set[str]:
    return {tensor.device.type for tensor in (*module.parameters(), *module.buffers())}


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_part_is_there_while_inside_and_then_the_very_tensors_of_before(
    tiny_backbone: Backbone, error: type[BaseException] | None
) -> None:
    encoder = tiny_backbone._text_encoder
    before = [id(tensor) for tensor in (*encoder.parameters(), *encoder.buffers())]
    try:
        with placement.resident(encoder, META):
            assert places(encoder) == {"meta"}
            with placement.resident(encoder, META):  # once more costs nothing and ends nothing
                pass
            assert places(encoder) == {"meta"}
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert places(encoder) == {"cpu"}
    assert [id(tensor) for tensor in (*encoder.parameters(), *encoder.buffers())] == before


def test_a_part_that_does_not_fit_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = [id(tensor) for tensor in layers.parameters()]
    original, calls = torch.Tensor.to, []

    def short(tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        calls.append(tensor)
        if len(calls) == 3:
            raise torch.OutOfMemoryError
        return original(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", short)
    with pytest.raises(torch.OutOfMemoryError), placement.resident(layers, META):
        pass
    assert [id(tensor) for tensor in layers.parameters()] == before


def test_of_an_offloaded_network_one_block_at_a_time_is_there(tiny_backbone: Backbone) -> None:
    network, blocks = tiny_backbone.network, tiny_backbone.blocks
    before, seen = fingerprint(network), []
    inside = {tensor for block in blocks for tensor in block.parameters()}

    def look(module: nn.Module, *args: object) -> None:
        seen.append([block for block in blocks if places(block) == {"meta"}])

    with placement.offloaded(network, META, blocks):
        around = [each for each in network.parameters() if each.device.type == "meta"]
        assert {each.device.type for each in inside} == {"cpu"}
        assert len(around) + len(inside) == len(list(network.parameters()))
        hooks = [block.resnets[0].register_forward_pre_hook(look) for block in blocks]
        latents = torch.empty(1, *tiny_backbone.latent_shape, device=META, dtype=tiny_backbone.dtype)
        told = torch.empty(1, *tiny_backbone.embedding_shape, device=META, dtype=tiny_backbone.dtype)
        with torch.no_grad():
            assert network(latents, torch.tensor(5, device=META), told).sample.is_meta
        for hook in hooks:
            hook.remove()
    assert seen == [[block] for block in blocks]
    assert fingerprint(network) == before


def test_an_offloaded_network_computes_the_same(tiny_backbone: Backbone) -> None:
    latents = torch.randn(2, *tiny_backbone.latent_shape, generator=generator(0))
    with torch.no_grad():
        told = tiny_backbone.embed(["a cat", "a dog"])
        plain = tiny_backbone.predict(latents, 500, told)
        with placement.offloaded(tiny_backbone.network, HERE, tiny_backbone.blocks):
            assert torch.equal(tiny_backbone.predict(latents, 500, told), plain)


def test_a_block_that_fails_is_put_back(tiny_backbone: Backbone) -> None:
    def fails(*args: object) -> None:
        raise torch.OutOfMemoryError

    block = tiny_backbone.blocks[1]
    hook = block.resnets[0].register_forward_pre_hook(fails)
    latents, told = torch.zeros(1, *tiny_backbone.latent_shape), tiny_backbone.embed(["a"])
    with (
        pytest.raises(torch.OutOfMemoryError),
        placement.offloaded(tiny_backbone.network, HERE, tiny_backbone.blocks),
        torch.no_grad(),
    ):
        tiny_backbone.predict(latents, 5, told)
    hook.remove()  # and the fixture sees that all is as before


def test_what_was_put_back_by_others_meanwhile_stays() -> None:
    layer = nn.Linear(2, 2)
    merged, own = layer.weight, nn.Parameter(torch.zeros(2, 2))
    with placement.resident(layer, META):
        layer.weight = own  # as a motion that leaves the network, when a block fails
    assert layer.weight is own
    with placement.resident(layer, META):
        assert layer.weight.is_meta
    assert layer.weight is own
    assert merged is not own


def test_a_network_for_which_there_was_no_room_says_so(tiny_backbone: Backbone) -> None:
    with placement.resident(tiny_backbone.network, META), pytest.raises(MemoryError):
        tiny_backbone.predict(torch.zeros(1, *tiny_backbone.latent_shape), 5, tiny_backbone.embed(["a"]))


def test_a_network_that_does_not_fit_after_all_is_loaded_and_stays_off_the_device(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, moved = UNet3DConditionModel.to, []

    def short(network: UNet3DConditionModel, place: object) -> UNet3DConditionModel:
        moved.append(place)
        if len(moved) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(network, place)

    monkeypatch.setattr(UNet3DConditionModel, "to", short)
    backbones.load(tiny_spec(tiny_folder), "cpu")
    assert moved == [torch.device("cpu"), "cpu"]  # to the device, and back


def test_sizes_are_those_of_parameters_and_buffers() -> None:
    layer = nn.BatchNorm1d(3)  # weight, bias, mean and variance in float32, and a count of 8 bytes
    assert placement.size(layer, nn.Linear(2, 3, dtype=torch.bfloat16)) == 4 * 12 + 8 + 2 * 9
    with placement.resident(layer, META):
        both = nn.Sequential(layer, nn.Linear(2, 3))
        assert [placement.size(both, on=torch.device(kind)) for kind in ("meta", "cpu")] == [56, 36]
