"""Frozen weights in 8 bits: half of what 16 take, for learning beside them.

Libraries that do this leave out the convolutions along time, which most of a video network is made of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from vmc_cli.backbones import placement
from vmc_cli.backbones.checkpointing import LAYERS

LARGEST = 127  # of a signed byte, the same on both sides of zero


class Bytes(nn.Module):
    """A weight (outputs, ...) as signed bytes, with a scale for each of its outputs."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self._dtype, self._device = dtype, device

    def forward(self, numbers: Tensor, scales: Tensor) -> Tensor:
        """What is computed with."""
        return numbers.to(self._dtype) * scales

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The bytes nearest to ``weight``, and the scales, in the format that is computed in."""
        weight = weight.detach().to(self._device)
        rows = weight.flatten(1).float()
        scales = (rows.abs().amax(1) / LARGEST).to(self._dtype)
        scales = scales.clamp_min(torch.finfo(self._dtype).tiny).view(-1, *(1 for _ in weight.shape[1:]))
        numbers = (weight.float() / scales.float()).round_().clamp_(-LARGEST, LARGEST)
        return numbers.to(torch.int8), scales


@contextmanager
def in_bytes(network: nn.Module, device: torch.device, kept: Collection[nn.Module]) -> Iterator[None]:
    """Hold frozen weights of ``network`` on ``device`` in 8 bits while inside, but for the layers ``kept``.

    They are those of matrices and convolutions inside of `checkpointing.LAYERS`: what is computed with is
    made for such a layer's turn, and forgotten with its activations. Afterwards the very weights are back;
    meanwhile they wait in the main memory.
    """
    layers = [
        part
        for layer in network.modules()
        if isinstance(layer, LAYERS)
        for part in layer.modules()
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and part not in kept
    ]
    before: list[tuple[nn.Module, nn.Parameter, torch.device]] = []
    try:
        for layer in layers:
            weight = layer.weight
            before.append((layer, weight, weight.device))
            form = Bytes(weight.dtype, device)
            parametrize.register_parametrization(layer, "weight", form, unsafe=True)
            if weight.device.type == "cuda":
                weight.data = weight.data.cpu()
        with placement.resident(network, device):
            yield
    finally:
        for layer, weight, home in before:
            if parametrize.is_parametrized(layer):
                parametrize.remove_parametrizations(layer, "weight")
            weight.data = weight.data.to(home)
            layer.weight = weight
            layer._parameters["bias"] = layer._parameters.pop("bias")  # behind it, as before
