"""Spatial paths: what each clip looks like is learned beside its motion, and dropped in the end.

MotionDirector (arXiv 2310.08465): low rank beside the spatial layers, a set of its own for each clip. While
the motion is learned they are there but do not learn, so that the temporal layers need not learn looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from vmc_cli.backbones.base import Backbone, Site

RANK = 32  # MotionDirector's, for both paths


class Paths:
    """One path for each of ``clips`` clips through the linear layers that ``aside`` names, float32.

    It starts as zero: ``generator``, on the CPU, draws the factor that does not.
    """

    def __init__(self, backbone: Backbone, aside: Sequence[str], clips: int, generator: Generator) -> None:
        self._sites = backbone.sites_for(aside)
        self._factors = [[_factors(site, generator) for site in self._sites] for _ in range(clips)]
        self.parameters = {
            f"path.{number}.{site.name}.{side}": factor
            for number, path in enumerate(self._factors)
            for site, pair in zip(self._sites, path, strict=True)
            for side, factor in zip("AB", pair, strict=True)
        }

    @contextmanager
    def beside(self, number: int, *, learning: bool) -> Iterator[None]:
        """Let the path of a clip act while inside; only with ``learning`` do gradients reach it."""
        with ExitStack() as stack:
            for site, pair in zip(self._sites, self._factors[number], strict=True):
                down, up = pair if learning else (factor.detach() for factor in pair)
                stack.callback(site.layer.register_forward_hook(_beside(down, up)).remove)
            yield


def size(backbone: Backbone, aside: Sequence[str], clips: int) -> int:
    """How many numbers are in the paths of ``clips`` clips."""
    return clips * RANK * sum(sum(site.layer.weight.shape) for site in backbone.sites_for(aside))


def _factors(site: Site, generator: Generator) -> tuple[nn.Parameter, nn.Parameter]:
    outputs, inputs = site.layer.weight.shape
    bound, device = inputs**-0.5, site.layer.weight.device
    down = torch.empty(RANK, inputs).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(down.to(device)), nn.Parameter(torch.zeros(outputs, RANK, device=device))


def _beside(down: Tensor, up: Tensor) -> Any:
    def add(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        tokens = inputs[0]
        return output + F.linear(F.linear(tokens, down.to(tokens.dtype)), up.to(tokens.dtype))

    return add
