"""Which timesteps to learn from, and which noise to start from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from vmc_cli.errors import UsageError
from vmc_cli.recipe import ALL_ALONG, NOISES, Span

BLEND_SHARE = 0.5  # of the variance that the inverted noise gives (MotionDirector, one clip)
LOW_PASS = 4  # rows and columns that share one low-frequency value (DMT)


def draw_timesteps(
    kind: str,
    count: int,
    train_timesteps: int,
    generator: Generator,
    *,
    alpha: float = 0.0,
    span: Span = ALL_ALONG,
) -> Tensor:
    """``count`` timesteps in [0, ``train_timesteps``), int64 on the CPU.

    ``alpha`` is for early ones. All are in ``span``; where none is, they are the one nearest to its start.
    """
    last = min(math.floor(span.since * train_timesteps), train_timesteps - 1)
    first = min(math.floor(span.until * train_timesteps) + 1, last) if span.until else 0
    return DENSITIES[kind](count, range(first, last + 1), train_timesteps, generator, alpha)


def _uniform(count: int, among: range, of: int, generator: Generator, alpha: float) -> Tensor:
    return torch.randint(among.start, among.stop, (count,), generator=generator)


def _early(count: int, among: range, of: int, generator: Generator, alpha: float) -> Tensor:
    """More from the noisy end, where generation begins: density (1 - alpha cos(pi t / T)) / T (V*)."""
    middle = (torch.arange(among.start, among.stop, dtype=torch.float64) + 0.5) / of
    density = 1 - alpha * (math.pi * middle).cos()
    return among.start + torch.multinomial(density, count, replacement=True, generator=generator)


DENSITIES: Mapping[str, Callable[[int, range, int, Generator, float], Tensor]] = MappingProxyType(
    {"uniform": _uniform, "early": _early}
)


def start_noise(kind: str, inverted: Tensor | None, random: Tensor) -> Tensor:
    """The latents that generation starts from; unit variance in, unit variance out.

    Args:
        kind: one of `recipe.NOISES`.
        inverted: the clip's latents after DDIM inversion, ``(1, C, F, h, w)``; None when there is no motion.
        random: independent unit Gaussian noise of the same shape.

    Raises:
        UsageError: no such kind, or it needs a motion and there is none, or one of another size.
    """
    if kind == "random":
        return random
    if kind not in FROM_INVERTED:
        raise UsageError(f"No start noise is called {kind!r}.", f"Choose one of {', '.join(NOISES)}.")
    if inverted is None:
        raise UsageError(f"The noise {kind!r} is made from a motion.", "Name a motion, or use random noise.")
    if inverted.shape != random.shape:
        raise UsageError("The motion's start noise has another length or size.", "Use --noise random.")
    return FROM_INVERTED[kind](inverted, random)


def _inverted(inverted: Tensor, random: Tensor) -> Tensor:
    """As VMC starts: every generation repeats the clip's noise."""
    return inverted


def _blend(inverted: Tensor, random: Tensor) -> Tensor:
    """Spherical: the variances of both parts add up to 1 (MotionDirector)."""
    return BLEND_SHARE**0.5 * inverted + (1 - BLEND_SHARE) ** 0.5 * random


def _low_frequency(inverted: Tensor, random: Tensor) -> Tensor:
    """Low spatial frequencies of the inverted noise, high ones at random (DMT), at unit variance."""
    return _unit(_low_pass(inverted) + random - _low_pass(random))


def _motion(inverted: Tensor, random: Tensor) -> Tensor:
    """The inverted noise, but what all its frames share (place, still things) comes at random."""
    return _unit(inverted - inverted.mean(dim=2, keepdim=True) + random.mean(dim=2, keepdim=True))


def _low_pass(video: Tensor) -> Tensor:
    """Each frame shrunk by `LOW_PASS` (means of squares) and enlarged again (bilinear)."""
    height, width = video.shape[-2:]
    frames = video.flatten(0, 2)[:, None]
    small = F.interpolate(frames, (max(1, height // LOW_PASS), max(1, width // LOW_PASS)), mode="area")
    return F.interpolate(small, (height, width), mode="bilinear").reshape(video.shape)


def _unit(video: Tensor) -> Tensor:
    return video / video.std(dim=(1, 2, 3, 4), keepdim=True)


FROM_INVERTED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {"inverted": _inverted, "blend": _blend, "low-frequency": _low_frequency, "motion": _motion}
)
"""Name -> (inverted, random) -> start noise, all ``(1, C, F, h, w)``."""
