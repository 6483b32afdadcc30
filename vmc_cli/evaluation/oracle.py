"""What is to be seen in a video of the embedded model: which place, and the way of a sprite.

A sprite is found by normalised correlation with its own picture, weighted by its opacity, over all positions
and sizes. A place is found by its colours, cell by cell; cells that fit worst do not count: a sprite may hide
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vmc_cli.backbones.sprites.drawing import glyphs
from vmc_cli.backbones.sprites.places import paint
from vmc_cli.backbones.sprites.world import PLACES, SIZE, STRANGERS, SUBJECTS

NAMES = [*SUBJECTS, *STRANGERS]
DIAMETERS = (13, 15, 17, 20, 23, 26, 29, 33, 37)  # pixels, steps of about an eighth


@dataclass(frozen=True)
class Sighting:
    """A sprite in one frame: centre (x, y) and diameter in frame widths, and how sure (-1 to 1)."""

    x: float
    y: float
    diameter: float
    score: float


@lru_cache(maxsize=16)
def _templates(diameter: int) -> tuple[Tensor, Tensor]:
    """Weight times zero-mean picture, of unit norm, and weight: (N, 3, d, d) and (N, 1, d, d)."""
    picture = F.interpolate(glyphs(), size=(diameter, diameter), mode="bilinear", antialias=True)
    weight = picture[:, 3:].clamp(0, 1)
    colour = picture[:, :3] / weight.clamp_min(1e-3)
    total = 3 * weight.sum((1, 2, 3), keepdim=True)
    centred = (colour - (weight * colour).sum((1, 2, 3), keepdim=True) / total) * weight
    norm = (centred**2 / weight.clamp_min(1e-3)).sum((1, 2, 3), keepdim=True).sqrt()
    return centred / norm.clamp_min(1e-6), weight


def correlation(frames: Tensor, names: Sequence[str], diameter: int) -> Tensor:
    """Correlation of every sprite at every position: frames (F, 3, H, W) in [-1, 1] -> (F, N, H, W)."""
    rows = [NAMES.index(name) for name in names]
    pattern, weight = (t[rows] for t in _templates(diameter))
    size = [SIZE * 2, SIZE * 2]
    spectrum = torch.fft.rfft2(frames, s=size)

    def correlate(image: Tensor, kernel: Tensor) -> Tensor:
        product = torch.einsum("fcxy,ncxy->fnxy", image, torch.fft.rfft2(kernel, s=size).conj())
        half = diameter // 2
        return torch.fft.irfft2(product, s=size).roll((half, half), (-2, -1))[..., :SIZE, :SIZE]

    total = 3 * weight.sum((1, 2, 3)).view(1, -1, 1, 1)
    mean = correlate(spectrum, weight.expand(-1, 3, -1, -1)) / total
    square = correlate(torch.fft.rfft2((frames**2).sum(1, keepdim=True), s=size), weight) / total
    spread = ((square - mean**2).clamp_min(1e-4) * total).sqrt()
    return (correlate(spectrum, pattern) / spread).clamp(-1, 1)


def evidence(frames: Tensor, names: Sequence[str], diameter: int) -> Tensor:
    """Correlation in standard deviations (Fisher's z): a large sprite is less likely found by chance."""
    found = torch.atanh(correlation(frames, names, diameter).clamp(-0.98, 0.98))
    weight = _templates(diameter)[1][[NAMES.index(name) for name in names]]
    return found * weight.sum((1, 2, 3)).sqrt().view(1, -1, 1, 1)


def as_tensor(frames: np.ndarray) -> Tensor:
    """(F, SIZE, SIZE, 3) uint8 -> (F, 3, SIZE, SIZE) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


def track(frames: np.ndarray, name: str) -> list[Sighting]:
    """Where the sprite `name` is in every frame: its best place in each."""
    video = as_tensor(frames)
    volume = torch.stack([evidence(video, [name], d)[:, 0] for d in DIAMETERS], 1)  # (F, D, H, W)
    sightings: list[Sighting] = []
    best = volume.flatten(1)
    for scores in best:
        top = int(scores.argmax())
        level, spot = divmod(top, SIZE * SIZE)
        y, x = divmod(spot, SIZE)
        half = 0.5 if DIAMETERS[level] % 2 else 0.0
        sightings.append(
            Sighting((x + half) / SIZE, (y + half) / SIZE, DIAMETERS[level] / SIZE, float(scores[top]))
        )
    return sightings


def scores(frames: np.ndarray, names: Sequence[str] = NAMES) -> dict[str, float]:
    """How surely each sprite is there: its best correlation, averaged over the frames."""
    video = as_tensor(frames)
    best = torch.stack([evidence(video, names, d).amax((-2, -1)) for d in DIAMETERS]).amax(0).mean(0)
    return dict(zip(names, best.tolist(), strict=True))


@lru_cache(maxsize=1)
def _looks() -> Tensor:
    """Many looks of every place, small: (places, variants, 3, 8, 8)."""
    looks = torch.from_numpy(np.array([[paint(place, 1000 + v) for v in range(32)] for place in PLACES]))
    return F.adaptive_avg_pool2d(looks.flatten(0, 1), 8).unflatten(0, looks.shape[:2])


def place(frames: np.ndarray) -> str:
    """The place that the video shows, going by the colours of what stays."""
    still = F.adaptive_avg_pool2d(as_tensor(frames).median(0).values, 8)
    errors = (_looks() - still).pow(2).sum(2).flatten(2)  # (places, variants, cells)
    kept = errors.sort(-1).values[..., :48].mean(-1)
    return list(PLACES)[int(kept.amin(1).argmin())]


def displacement_cosine(way: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> float:
    """Mean cosine between the steps of two ways (x, y); steps where either rests do not count."""
    first, second = np.diff(np.asarray(way), axis=0), np.diff(np.asarray(other), axis=0)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    moving = lengths > 1e-9
    if not moving.any():
        return 0.0
    return float(((first * second).sum(1)[moving] / lengths[moving]).mean())
