"""What a step costs, counted on the meta device: exact, without weights, and the same on every machine."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vmc_cli import adapters
from vmc_cli.backbones import placement
from vmc_cli.backbones.checkpointing import checkpointed
from vmc_cli.backbones.framewise import FrameBackbone
from vmc_cli.device import generator as seeded
from vmc_cli.recipes import GUIDANCE, Recipe
from vmc_cli.sampling import guided
from vmc_cli.training import Lesson

LEVELS = ("high", "medium", "low")
"""How much memory is spent, most first. When learning: everything that a step computes is kept for its
gradients; only what takes long to compute again; only what enters a layer. When generating: prompt and
negative prompt are computed together; one after the other; and but one block of the network is on the device.
"""

CHECKPOINTING: Mapping[str, str] = MappingProxyType({"high": "none", "medium": "selective", "low": "full"})
"""Level -> kind of `checkpointing.checkpointed`."""

MOMENTS = 2 * 4  # bytes that the optimiser keeps for each parameter


@dataclass(frozen=True)
class Cost:
    """Floating point operations of one step, and the bytes of weights and activations at their peak."""

    flops: int
    peak: int


def learning(backbone: FrameBackbone, recipe: Recipe, level: str) -> Cost:
    """A step of learning on a blueprint (see `backbones.blueprint`). The peak is that of all of learning."""
    text, codec = (placement.size(part) for part in backbone.surroundings)
    clip, embedding = _clip(backbone), _embedding(backbone)
    generator = seeded(0)
    adapter = adapters.place(backbone, recipe.adaptation)
    with (
        Meter(backbone.device) as meter,
        adapter.trained(generator) as trainable,
        checkpointed(backbone.network, CHECKPOINTING[level]),
    ):
        paths = adapters.Paths(backbone, recipe.aside, 1, generator)
        examples = [(clip, lambda: embedding)]
        Lesson(backbone, examples, recipe, trainable, paths, generator, Tensor.backward).learn(0)
        parameters = [*trainable.parameters.values(), *paths.parameters.values()]
        moments = MOMENTS * sum(parameter.numel() for parameter in parameters)
    step = meter.peak + moments + (text if recipe.trains_token else 0)
    return Cost(meter.flops, placement.size(backbone.network) + max(step, text, codec + _encoding(backbone)))


def generating(backbone: FrameBackbone, level: str, *, guidance: float = GUIDANCE) -> Cost:
    """A step of denoising on a blueprint. The peak is that of all of generating."""
    text, codec = (placement.size(part) for part in backbone.surroundings)
    clip, embedding = _clip(backbone), _embedding(backbone)
    negative = None if guidance == 1 else embedding
    with torch.no_grad(), Meter(backbone.device) as meter:
        guided(backbone, clip, 0, embedding, negative, scale=guidance, together=level == "high")
    network, block = placement.size(backbone.network), 0
    if level == "low":
        blocks = [placement.size(each) for each in backbone.blocks]
        network, block = network - sum(blocks), max(blocks)
    return Cost(meter.flops, network + max(block + meter.peak, text, codec + _decoding(backbone)))


class Meter(TorchDispatchMode):
    """Counts what is computed inside: floating point operations, and the largest sum of bytes of new tensors.

    Only tensors on ``device`` count, from when they are made to when nothing needs them any more.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.flops = 0
        self.peak = 0
        self._device = device.type
        self._living: dict[int, tuple[Any, int]] = {}  # address of a storage -> what tells of its end, bytes
        self._sum = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if formula := flop_registry.get(function._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=found)
        if not _returns_old(function):
            for tensor in found if isinstance(found, tuple | list) else (found,):
                if isinstance(tensor, Tensor) and tensor.device.type == self._device:
                    self._add(tensor.untyped_storage())
        return found

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address not in self._living:
            self._living[address] = weakref.ref(storage, lambda _: self._subtract(address)), size
            self._sum += size
            self.peak = max(self.peak, self._sum)

    def _subtract(self, address: int) -> None:
        _, size = self._living.pop(address)
        self._sum -= size


@cache
def _returns_old(function: Any) -> bool:
    """Whether all that it returns are views of its arguments, or its arguments themselves."""
    return all(each.alias_info is not None for each in function._schema.returns)


def _clip(backbone: FrameBackbone) -> Tensor:
    return torch.empty(1, *backbone.latent_shape, device=backbone.device)


def _embedding(backbone: FrameBackbone) -> Tensor:
    return torch.empty(1, *backbone.embedding_shape, device=backbone.device)


@torch.no_grad()
def _encoding(backbone: FrameBackbone) -> int:
    """Bytes of activations while a frame is encoded."""
    pixels = torch.empty(1, 3, backbone.height, backbone.width, device=backbone.device)
    with Meter(backbone.device) as meter:
        backbone.encode_frame(pixels)
    return meter.peak


@torch.no_grad()
def _decoding(backbone: FrameBackbone) -> int:
    """Bytes of activations while a frame is decoded."""
    latents = _clip(backbone)[:, :, 0]
    with Meter(backbone.device) as meter:
        backbone.decode_frame(latents)
    return meter.peak
