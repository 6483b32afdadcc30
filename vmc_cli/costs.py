"""What a step costs, counted on the meta device: exact, without weights, and the same on every machine."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from vmc_cli import adapters, sampling
from vmc_cli.backbones import placement
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.checkpointing import checkpointed
from vmc_cli.backbones.framewise import FrameBackbone
from vmc_cli.backbones.quantizing import in_bytes
from vmc_cli.course import GUIDANCE
from vmc_cli.device import generator as seeded
from vmc_cli.recipe import Recipe
from vmc_cli.training import Lesson

LEVELS = ("high", "medium", "low")
"""How much memory is spent, most first. When learning: everything that a step computes is kept for its
gradients; only what takes long to compute again; only what enters a layer. When generating: prompt and
negative prompt are computed together; one after the other; and but one block of the network is on the device.
"""

IN_BYTES = "int8"
"""A level for learning alone, below the others: as low, and the frozen weights are held in 8 bits. What is
learned differs by more than rounding, so it has to be asked for."""

CHECKPOINTING: Mapping[str, str] = MappingProxyType(
    {"high": "none", "medium": "selective", "low": "full", IN_BYTES: "full"}
)
"""Level -> kind of `checkpointing.checkpointed`."""

LEARNING_LEVELS = (*LEVELS, IN_BYTES)

MOMENTS = 2 * 4  # bytes that the optimiser keeps for each parameter


@dataclass(frozen=True)
class Cost:
    """Floating point operations and kernels of a step, and bytes of weights and activations at their peak."""

    flops: int
    kernels: int
    peak: int


@cache
def learning(backbone: FrameBackbone, recipe: Recipe, level: str, clips: int = 1) -> Cost:
    """A step of learning on a blueprint (see `backbones.blueprint`). The peak is that of all of learning.

    ``clips`` is how many there are in all, of other motions too: each may have paths of its own.
    """
    clip, embedding = _clip(backbone), _embedding(backbone)
    generator = seeded(0)
    adapter = adapters.place(backbone, recipe.adaptation)
    with held(backbone, recipe, level):
        network = placement.size(backbone.network)
        with (
            Meter(backbone.device) as meter,
            adapter.trained(generator) as trainable,
            checkpointed(backbone.network, CHECKPOINTING[level]),
        ):
            paths = adapters.Paths(backbone, recipe.aside, clips, generator)
            examples = [(clip, lambda: embedding)]
            lesson = Lesson(backbone, examples, recipe, trainable, paths, generator, Tensor.backward)
            lesson.learn([0] * recipe.batch)
            parameters = [*trainable.parameters.values(), *paths.parameters.values()]
            moments = MOMENTS * sum(parameter.numel() for parameter in parameters)
    if level == IN_BYTES and _on_cpu(backbone):
        network += placement.size(backbone.network)  # which waits there
    step = meter.peak + moments
    if recipe.trains_token and not _on_cpu(backbone):
        step += placement.size(backbone.surroundings[0])
    peak = max(_peak(backbone, network, step, 0), encoding(backbone))
    return Cost(meter.flops, meter.kernels, peak)


def held(backbone: Backbone, recipe: Recipe, level: str) -> AbstractContextManager[None]:
    """Hold what ``recipe`` leaves frozen as learning at that ``level`` does, while inside."""
    if level != IN_BYTES:
        return nullcontext()
    sites = [*adapters.place(backbone, recipe.adaptation).sites, *backbone.sites_for(recipe.aside)]
    return in_bytes(backbone.network, backbone.device, {site.layer for site in sites})


@cache
def generating(backbone: FrameBackbone, level: str, *, guided: bool = True) -> Cost:
    """A step of denoising on a blueprint, ``guided`` or not. The peak is that of all of generating."""
    clip, embedding = _clip(backbone), _embedding(backbone)
    negative = embedding if guided else None
    with torch.no_grad(), Meter(backbone.device) as meter:
        together = level == "high"
        sampling.guided(backbone, clip, 0, embedding, negative, scale=GUIDANCE, together=together)
    network, block = placement.size(backbone.network), 0
    if level == "low" and not _on_cpu(backbone):
        blocks = [placement.size(each) for each in backbone.blocks]
        network, block = network - sum(blocks), max(blocks)
    return Cost(meter.flops, meter.kernels, _peak(backbone, network, block + meter.peak, _decoding(backbone)))


@cache
def encoding(backbone: FrameBackbone) -> int:
    """Bytes at the peak while clips are encoded and captions embedded, on a blueprint."""
    return _peak(backbone, placement.size(backbone.network), 0, _encoding(backbone))


def _peak(backbone: FrameBackbone, network: int, step: int, coding: int) -> int:
    """Bytes of the largest stage: to the ``network`` comes what a ``step``, or ``coding`` a frame, takes."""
    text, codec = (placement.size(part) for part in backbone.surroundings)
    if _on_cpu(backbone):
        return network + text + codec + max(step, coding)
    return network + max(step, text, codec + coding)


def _on_cpu(backbone: FrameBackbone) -> bool:
    """Where nothing can be moved elsewhere."""
    return backbone.stands_on.type == "cpu"


class Meter(TorchDispatchMode):
    """Counts what is computed inside: floating point operations, kernels, and bytes of tensors at the peak.

    ``kernels`` are the operations that are more than another view. Of tensors only those on ``device`` count,
    from when they are made to when nothing needs them any more.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.flops = 0
        self.kernels = 0
        self.peak = 0
        self._device = device.type
        self._living: dict[int, tuple[Any, int]] = {}  # address of a storage -> what tells of its end, bytes
        self._sum = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = _kind(function)
        kwargs = kwargs or {}
        found, flops = (_computed if kind.all_new else _counted)(function, args, kwargs)
        self.flops += flops
        self.kernels += kind.works
        if not kind.all_old:
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


class _Kind(NamedTuple):
    """An operation: whether all or nothing that it returns are views of its arguments, or they themselves.

    One ``works`` that is more than another view; ``flops`` counts its floating point operations.
    """

    works: bool
    all_old: bool
    all_new: bool
    flops: Callable[..., int] | None


@cache
def _kind(function: Any) -> _Kind:
    old = [each.alias_info is not None for each in function._schema.returns]
    return _Kind(
        works=function._schema.is_mutable or not all(old),
        all_old=all(old),
        all_new=not any(old) and function not in _SHARING,
        flops=flop_registry.get(function._overloadpacket),
    )


_Layout = tuple[torch.Size, tuple[int, ...], torch.dtype]
_MADE: dict[Any, tuple[list[_Layout | None], int]] = {}
_SHARING = (torch.ops.aten._unsafe_view.default,)  # a view, though it does not say so


def _computed(function: Any, args: Any, kwargs: Any) -> tuple[Any, int]:
    """As `_counted`, without working out again what is made of tensors of the same layout.

    A network is the same few layers many times, and on the meta device layouts are all there is.
    """
    key = (function, _layout(args), _layout(tuple(kwargs.items())))
    if (known := _MADE.get(key)) is not None:
        made = [each if each is None else _empty(*each) for each in known[0]]
        return made[0] if len(made) == 1 else tuple(made), known[1]
    found, flops = _counted(function, args, kwargs)
    outputs = found if isinstance(found, tuple) else (found,)
    if outputs and all(each is None or (isinstance(each, Tensor) and each.is_meta) for each in outputs):
        layouts = [each if each is None else (each.shape, each.stride(), each.dtype) for each in outputs]
        _MADE[key] = layouts, flops
    return found, flops


def _counted(function: Any, args: Any, kwargs: Any) -> tuple[Any, int]:
    """``function(*args, **kwargs)``, and how many floating point operations that takes."""
    found = function(*args, **kwargs)
    flops = _kind(function).flops
    return found, flops(*args, **kwargs, out_val=found) if flops else 0


def _empty(shape: torch.Size, strides: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")


def _layout(value: Any) -> Any:
    """Of an argument, all that decides the layout of what is computed with it; it can be hashed."""
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype, value.device
    if isinstance(value, tuple | list):
        return tuple(_layout(each) for each in value)
    return type(value), value


def _clip(backbone: FrameBackbone) -> Tensor:
    return torch.empty(1, *backbone.latent_shape, device=backbone.device)


def _embedding(backbone: FrameBackbone) -> Tensor:
    return torch.empty(1, *backbone.embedding_shape, device=backbone.device)


@cache
@torch.no_grad()
def _encoding(backbone: FrameBackbone) -> int:
    """Bytes of activations while a frame is encoded."""
    pixels = torch.empty(1, 3, backbone.height, backbone.width, device=backbone.device)
    with Meter(backbone.device) as meter:
        backbone.encode_frame(pixels)
    return meter.peak


@cache
@torch.no_grad()
def _decoding(backbone: FrameBackbone) -> int:
    """Bytes of activations while a frame is decoded."""
    latents = _clip(backbone)[:, :, 0]
    with Meter(backbone.device) as meter:
        backbone.decode_frame(latents)
    return meter.peak
