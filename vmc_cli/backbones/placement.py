"""Where weights are: parts of a model come to the accelerator while they are needed, and leave it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Home = tuple[dict[str, Any], str, Tensor, Tensor]
"""A tensor that a copy stands in for: the dictionary of its module, its name there, it, and the copy."""


@contextmanager
def resident(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Let copies of the weights of ``module`` on ``device`` stand in for them while inside.

    Afterwards the very tensors of before are back. What already is there stays as it is.
    """
    homes: list[Home] = []
    try:
        _swap(module.modules(), device, homes)
        yield
    finally:
        _restore(homes)


@contextmanager
def offloaded(network: nn.Module, device: torch.device, blocks: Sequence[nn.Module]) -> Iterator[None]:
    """Keep the weights of ``network`` off ``device`` while inside; each of its ``blocks`` comes for its turn.

    What is in none of the blocks is there all the time. For computing without gradients.
    """
    before = next(network.parameters()).device
    inside = {part for block in blocks for part in block.modules()}
    here: list[Home] = []
    around: list[Home] = []

    def fetch(block: nn.Module, inputs: Any) -> None:
        _swap(block.modules(), device, here)

    def leave(block: nn.Module, inputs: Any, outputs: Any) -> None:
        _restore(here)

    with ExitStack() as stack:
        stack.callback(network.to, before)
        network.to("cpu")
        stack.callback(_restore, around)
        _swap((part for part in network.modules() if part not in inside), device, around)
        stack.callback(_restore, here)  # of a block that was stopped on its way
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(fetch).remove)
            stack.callback(block.register_forward_hook(leave).remove)
        yield


def size(*modules: nn.Module, on: torch.device | None = None) -> int:
    """Bytes of the weights; of those on a device of that kind, where one is named."""
    tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
    return sum(tensor.nbytes for tensor in tensors if on is None or tensor.device.type == on.type)


def _swap(parts: Iterable[nn.Module], device: torch.device, homes: list[Home]) -> None:
    """Put copies on ``device`` in the places of the parts' own tensors, which are added to ``homes``."""
    for part in parts:
        for place in (part._parameters, part._buffers):
            for name, tensor in place.items():
                if tensor is not None and tensor.device != device:
                    copy = tensor.detach().to(device, non_blocking=True)
                    if isinstance(tensor, nn.Parameter):
                        copy = nn.Parameter(copy, requires_grad=False)
                    place[name] = copy
                    homes.append((place, name, tensor, copy))


def _restore(homes: list[Home]) -> None:
    while homes:
        place, name, tensor, copy = homes.pop()
        if place.get(name) is copy:  # else somebody has put another tensor there, to stay
            place[name] = tensor
