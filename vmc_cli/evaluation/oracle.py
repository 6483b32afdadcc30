"""What is to be seen in a video of the embedded model: which place, which sprites, and their ways.

A sprite is looked for at all positions and sizes. There, the picture is explained twice within a disc a
little larger than the sprite: by one colour alone, and by the sprite on one colour (least squares). What the
sprite explains better, as a sum of squares, is the evidence for it. The margin of the disc matters: without
it, any small plain sprite fits somewhere into a larger one. A place is found by its colours, cell by cell;
cells that fit worst do not count: a sprite may hide them.
"""

from __future__ import annotations

import math
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
DIAMETERS = (11, 13, 15, 17, 20, 23, 26, 29, 33, 37, 42)  # pixels, steps of about an eighth
_MARGIN = 0.15  # of the diameter, around the sprite on every side
_EDGE = 8  # pixels that the picture is continued by, so that sprites may stand at its edge
_FOURIER = SIZE + _EDGE + 28  # half the largest disc and more: what wraps around lands outside the picture


@dataclass(frozen=True)
class Sighting:
    """A sprite in one frame: centre (x, y) and diameter in frame widths.

    ``share`` is how much of what one colour leaves unexplained in the disc the sprite explains, at most 1.
    """

    x: float
    y: float
    diameter: float
    share: float


@lru_cache(maxsize=16)
def _discs(diameter: int) -> tuple[Tensor, Tensor, Tensor]:
    """Colour times opacity (N, 3, k, k), opacity (N, 1, k, k) and the disc (1, 1, k, k) of every sprite."""
    margin = max(2, round(diameter * _MARGIN))
    sprites = F.interpolate(glyphs(), size=(diameter, diameter), mode="bilinear", antialias=True)
    sprites = F.pad(sprites, (margin,) * 4)
    size = diameter + 2 * margin
    line = torch.arange(size) - (size - 1) / 2
    disc = (line[:, None] ** 2 + line**2).sqrt() <= size / 2
    return sprites[:, :3], sprites[:, 3:], disc.float()[None, None]


def _correlated(image: Tensor, kernel: Tensor) -> Tensor:
    """Spectrum (F, 1 or C, ...) with kernels (N, 1 or C, k, k): (F, N, C, SIZE, SIZE), at their centres."""
    spectrum = torch.fft.rfft2(kernel, s=(_FOURIER, _FOURIER)).conj()
    product = image[:, None] * spectrum[None]
    shift = kernel.shape[-1] // 2
    found = torch.fft.irfft2(product, s=(_FOURIER, _FOURIER)).roll((shift, shift), (-2, -1))
    return found[..., _EDGE : _EDGE + SIZE, _EDGE : _EDGE + SIZE]


def evidence(frames: Tensor, names: Sequence[str], diameter: int) -> tuple[Tensor, Tensor]:
    """What each sprite explains at each position, as a sum of squares, and as a share of what is to explain.

    frames (F, 3, SIZE, SIZE) in [-1, 1] make two (F, N, SIZE, SIZE).
    """
    rows = [NAMES.index(name) for name in names]
    colour, opacity, disc = _discs(diameter)
    colour, behind = colour[rows], (1 - opacity[rows]) * disc
    picture = F.pad(frames, (_EDGE,) * 4, mode="replicate")
    spectrum = torch.fft.rfft2(picture, s=(_FOURIER, _FOURIER))
    squares = torch.fft.rfft2(picture.pow(2).sum(1, keepdim=True), s=(_FOURIER, _FOURIER))
    plain = _correlated(spectrum, disc).pow(2).sum(2) / disc.sum()
    unexplained = _correlated(squares, disc)[:, :, 0] - plain
    agreement = _correlated(spectrum, colour).sum(2)
    left = _correlated(spectrum, behind) - (behind * colour).sum((2, 3))[None, :, :, None, None]
    own = colour.pow(2).sum((1, 2, 3))[None, :, None, None]
    room = behind.pow(2).sum((1, 2, 3))[None, :, None, None]
    explained = 2 * agreement - own + left.pow(2).sum(2) / room - plain
    return explained, explained / unexplained.clamp_min(1.0)


def as_tensor(frames: np.ndarray) -> Tensor:
    """(F, SIZE, SIZE, 3) uint8 -> (F, 3, SIZE, SIZE) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


def track(frames: np.ndarray, name: str) -> list[Sighting]:
    """Where the sprite `name` is in every frame, if it is there: where it explains most."""
    found = [evidence(as_tensor(frames), [name], diameter) for diameter in DIAMETERS]
    explained = torch.stack([each for each, _ in found], 2).flatten(1)
    shares = torch.stack([each for _, each in found], 2).flatten(1)
    sightings = []
    for frame, best in enumerate(explained.argmax(1).tolist()):
        level, spot = divmod(best, SIZE * SIZE)
        y, x = divmod(spot, SIZE)
        middle = 0.5 if DIAMETERS[level] % 2 else 0.0
        sightings.append(
            Sighting(
                (x + middle) / SIZE, (y + middle) / SIZE, DIAMETERS[level] / SIZE, float(shares[frame, best])
            )
        )
    return sightings


def scores(frames: np.ndarray, names: Sequence[str] = NAMES) -> dict[str, float]:
    """What each sprite explains in every other frame, a sum of squares: the largest is the one seen."""
    video = as_tensor(frames[::2])
    best = torch.full((len(video), len(names)), -math.inf)
    for diameter in DIAMETERS:
        best = torch.maximum(best, evidence(video, names, diameter)[0].amax((-2, -1)))
    return dict(zip(names, best.sum(0).tolist(), strict=True))


def subject(frames: np.ndarray, names: Sequence[str] = NAMES) -> str:
    """The sprite that explains most of the video."""
    found = scores(frames, names)
    return max(found, key=found.__getitem__)


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
