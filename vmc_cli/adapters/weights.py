"""What is trained at a site: a low-rank product beside the frozen matrix, or a copy of the matrix itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial, reduce
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import parametrize

from vmc_cli.adapters.base import Acting, Acts, Adapter, Trainable, all_along
from vmc_cli.backbones.base import Site
from vmc_cli.recipe import Span

Change = Callable[[], Tensor]
"""What is added to a weight, float32."""

_NAME = "vmc"  # peft wants one for its adapter


class Weights(Adapter):
    """Differences to the matrices and convolutions themselves, full or of low rank."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Adapter.shapes`, and the function below."""
        return shapes(self.sites, self.adaptation.rank)

    def acts(self, tensors: Mapping[str, Tensor]) -> bool:
        """See `Adapter.acts`."""
        return any(bool(difference(site, tensors).any()) for site in self.sites)

    @contextmanager
    def trained(self, generator: Generator, *, beside: bool = False) -> Iterator[Trainable]:
        """See `Adapter.trained`."""
        network, rank = self.backbone.network, self.adaptation.rank
        with trained(network, self.sites, rank, generator, beside=beside) as trainable:
            yield trainable

    @staticmethod
    def attached(acting: Sequence[Acting[Weights]]) -> AbstractContextManager[Acts]:
        """See `Adapter.attached`."""
        changes = [
            (site.layer, span, partial(_times, strength, site, tensors))
            for adapter, tensors, strength, span in acting
            for site in adapter.sites
        ]
        return added(changes)


def _times(strength: float, site: Site, tensors: Mapping[str, Tensor]) -> Tensor:
    return strength * difference(site, tensors)


@contextmanager
def added(changes: Sequence[tuple[nn.Module, Span, Change]]) -> Iterator[Acts]:
    """Add to the weights of layers while inside: each layer, where that acts, and what gives what is added.

    The sums of what acts together stand in new parameters; the old ones are put back afterwards, and are
    there where nothing acts. One layer's changes are made at a time.
    """
    of_layer: dict[nn.Module, list[tuple[Span, Change]]] = {}
    for layer, span, change in changes:
        of_layer.setdefault(layer, []).append((span, change))
    before = {layer: layer.weight for layer in of_layer}
    # Between two of these shares, the larger included, the same act.
    shares = sorted({1.0, *(share for _, span, _ in changes for share in (span.since, span.until) if share)})
    weights: dict[float, dict[nn.Module, nn.Parameter]] = {share: {} for share in shares}
    try:
        for layer, weight in before.items():
            sums: dict[tuple[Change, ...], nn.Parameter] = {(): weight}
            for share in shares:
                acting = tuple(change for span, change in of_layer[layer] if span.holds(share))
                if acting not in sums:
                    sums[acting] = nn.Parameter(_merged(weight, acting), requires_grad=False)
                weights[share][layer] = sums[acting]
            layer.weight = weights[1.0][layer]
        yield partial(_at, weights) if len(shares) > 1 else all_along
    finally:
        _put(before)


def _at(
    weights: Mapping[float, Mapping[nn.Module, nn.Parameter]], left: float
) -> AbstractContextManager[None]:
    return _exchanged(weights[min(share for share in weights if left <= share)])


@contextmanager
def _exchanged(weights: Mapping[nn.Module, nn.Parameter]) -> Iterator[None]:
    now = {layer: getattr(*_beneath(layer)) for layer in weights}
    _put(weights)
    try:
        yield
    finally:
        _put(now)


def _put(weights: Mapping[nn.Module, nn.Parameter]) -> None:
    for layer, weight in weights.items():
        setattr(*_beneath(layer), weight)


def _beneath(layer: nn.Module) -> tuple[nn.Module, str]:
    """Where the weight of ``layer`` is: beneath what is learned in addition, if something is."""
    if parametrize.is_parametrized(layer, "weight") and isinstance(layer.parametrizations.weight[0], _Plus):
        return layer.parametrizations.weight, "original"
    return layer, "weight"


def _merged(weight: Tensor, changes: Sequence[Change]) -> Tensor:
    total = reduce(torch.add, (change() for change in changes))
    return (weight.detach().float() + total).to(weight.dtype)


def shapes(sites: Sequence[Site], rank: int | None) -> dict[str, tuple[int, ...]]:
    """Every key that a motion's file must hold for ``sites``, with the tensor's shape.

    Keys are peft's: ``unet.<site>.lora_A.weight`` and ``unet.<site>.lora_B.weight``; for full weights
    ``unet.<site>.diff``, what is added.
    """
    found: dict[str, tuple[int, ...]] = {}
    for site in sites:
        outputs, *inputs = site.layer.weight.shape
        if rank is None:
            found[f"unet.{site.name}.diff"] = (outputs, *inputs)
        else:
            found[f"unet.{site.name}.lora_A.weight"] = (rank, *inputs)
            found[f"unet.{site.name}.lora_B.weight"] = (outputs, rank, *(1 for _ in inputs[1:]))
    return found


def difference(site: Site, tensors: Mapping[str, Tensor]) -> Tensor:
    """What the tensors of a file, keyed as in `shapes`, add to the weight of ``site``: float32, its shape."""
    weight, prefix = site.layer.weight, f"unet.{site.name}"
    if (full := tensors.get(f"{prefix}.diff")) is not None:
        return full.to(weight.device, torch.float32)
    down, up = (tensors[f"{prefix}.lora_{side}.weight"].to(weight.device, torch.float32) for side in "AB")
    return product(down, up)


def product(down: Tensor, up: Tensor) -> Tensor:
    """B A, as the weight of a matrix or a convolution: A (r, C, ...) and B (C', r, ...) give (C', C, ...)."""
    return (up.flatten(1) @ down.flatten(1)).reshape(len(up), *down.shape[1:])


@contextmanager
def trained(
    network: nn.Module,
    sites: Sequence[Site],
    rank: int | None,
    generator: Generator,
    *,
    beside: bool = False,
) -> Iterator[Trainable]:
    """Make ``sites`` of the frozen ``network`` trainable while inside; bit for bit as before afterwards.

    Args:
        rank: of the product B A that is added to each weight, which starts as zero; None trains the weights.
        generator: draws A, in the order of ``sites``.
        beside: the frozen weights may be exchanged meanwhile; so None trains what is added to them.
    """
    full = _added_to if beside else _full
    with full(sites) if rank is None else _low_rank(network, sites, rank, generator) as trainable:
        yield trainable


class _Cast(nn.Module):
    """Another format for a weight that is computed with; gradients come back in its own."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, weight: Tensor) -> Tensor:
        return weight.to(self._dtype)


def _compute_in(dtype: torch.dtype, layer: nn.Module) -> None:
    """Let ``layer`` keep its weight as it is, in float32, but compute in the format of the frozen network."""
    if dtype is not torch.float32:
        parametrize.register_parametrization(layer, "weight", _Cast(dtype), unsafe=True)


class _Plus(nn.Module):
    """A weight with a difference added, in the format of the weight; it starts as zero."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.difference = nn.Parameter(torch.zeros_like(weight, dtype=torch.float32))

    def forward(self, weight: Tensor) -> Tensor:
        return (weight.float() + self.difference).to(weight.dtype)


@contextmanager
def _added_to(sites: Sequence[Site]) -> Iterator[Trainable]:
    with _restored(sites) as frozen:
        added = [_Plus(weight) for weight in frozen]
        for site, each in zip(sites, added, strict=True):
            parametrize.register_parametrization(site.layer, "weight", each, unsafe=True)
        differences = [each.difference for each in added]
        yield Trainable(dict(zip(shapes(sites, None), differences, strict=True)), {})


@contextmanager
def _full(sites: Sequence[Site]) -> Iterator[Trainable]:
    with _restored(sites) as frozen:
        keys = list(shapes(sites, None))
        weights = [nn.Parameter(weight.detach().float().clone()) for weight in frozen]
        for site, weight in zip(sites, weights, strict=True):
            dtype, site.layer.weight = site.layer.weight.dtype, weight
            _compute_in(dtype, site.layer)
        yield Trainable(dict(zip(keys, weights, strict=True)), dict(zip(keys, frozen, strict=True)))


@contextmanager
def _restored(sites: Sequence[Site]) -> Iterator[list[nn.Parameter]]:
    """The weights of ``sites``, which are back afterwards, whatever was put in their places."""
    frozen = [site.layer.weight for site in sites]
    try:
        yield frozen
    finally:
        for site, weight in zip(sites, frozen, strict=True):
            if parametrize.is_parametrized(site.layer):
                parametrize.remove_parametrizations(site.layer, "weight", leave_parametrized=False)
            site.layer.weight = weight


def _unnamed(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Networks may call an input by its name in a layer of torch, which one of peft does not know."""
    return (*inputs, *named.values()), {}


@contextmanager
def _low_rank(
    network: nn.Module, sites: Sequence[Site], rank: int, generator: Generator
) -> Iterator[Trainable]:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=[site.name for site in sites])
    try:
        # On no device: peft would draw from torch's global generator, in the format of the frozen weights.
        inject_adapter_in_model(config, network, _NAME, low_cpu_mem_usage=True)
        layers = [network.get_submodule(site.name) for site in sites]
        pairs = [layer for wrapped in layers for layer in (wrapped.lora_A[_NAME], wrapped.lora_B[_NAME])]
        parameters = {}
        for (key, shape), layer in zip(shapes(sites, rank).items(), pairs, strict=True):
            value = torch.zeros(shape)
            if key.endswith("lora_A.weight"):
                bound = value[0].numel() ** -0.5  # as nn.Linear draws its weights
                value.uniform_(-bound, bound, generator=generator)
            layer.weight = parameters[key] = nn.Parameter(value.to(sites[0].layer.weight.device))
            _compute_in(sites[0].layer.weight.dtype, layer)
        for wrapped in layers:
            wrapped.cast_input_dtype_enabled = False
            wrapped.register_forward_pre_hook(_unnamed, with_kwargs=True)
        yield Trainable(parameters, {})
    finally:
        for site in sites:
            parent, _, attribute = site.name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, site.layer)
        vars(network).pop("peft_config", None)
