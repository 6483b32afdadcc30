"""What a network in training is asked to tell beside its denoising, so that it learns to know it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from torch import Tensor

from . import world

WHICH, WHERE = 0.02, 0.1  # weights: of guessing the frame, and who is where


class Guesses(torch.nn.Module):
    """Heads on what each temporal convolution gives, in training only: which frame it is, and who is where.

    The architecture has no positions in time, and the denoising error alone hardly teaches them: they pay
    only with a word and a place. Where subjects are is hidden by what they look like; told apart, it is
    learned from words much sooner.
    """

    def __init__(self, unet: UNet3DConditionModel) -> None:
        super().__init__()
        layers = [module for module in unet.modules() if isinstance(module, TemporalConvLayer)]
        widths = [layer.conv4[-1].out_channels for layer in layers]
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, world.FRAMES + 1) for width in widths)
        self._layers = tuple(layers)  # no ModuleList: they are not ours to train
        self._made: list[Tensor] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Guess at all that the network computes inside."""
        hooks = [
            layer.register_forward_hook(partial(self._guess, head))
            for layer, head in zip(self._layers, self.heads, strict=True)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _guess(self, head: torch.nn.Linear, layer: torch.nn.Module, inputs: Any, output: Tensor) -> None:
        self._made.append(head(output.float().permute(0, 2, 3, 1)))

    def error(self, covered: Tensor) -> Tensor:
        """Weighted cross entropies of what was guessed since the last time, summed over the layers.

        ``covered`` (B, 1, F, h, w) is the share of each cell that subjects cover; of a single frame, nothing
        else is guessed.
        """
        made, self._made = self._made, []
        total = torch.zeros((), device=covered.device)
        count, cells = covered.shape[2], covered.transpose(1, 2).flatten(0, 1)
        frames = torch.arange(count, device=covered.device).repeat(len(covered))
        for guess in made:  # (B * F, h, w, FRAMES + 1)
            where = F.adaptive_avg_pool2d(cells, guess.shape[1:3])[:, 0]
            total = total + WHERE * F.binary_cross_entropy_with_logits(guess[..., -1], where)
            if count > 1:
                which = frames[:, None, None].expand(guess.shape[:3])
                total = total + WHICH * F.cross_entropy(guess[..., :-1].permute(0, 3, 1, 2), which)
        return total
