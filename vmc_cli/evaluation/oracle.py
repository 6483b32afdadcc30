"""What is to be seen in a video of the embedded model: which place, which sprites, and their ways.

A sprite is looked for at all positions and sizes. There, the picture is explained twice within a disc a
little larger than the sprite: by the background alone, and by the sprite before it (least squares). What the
sprite explains better, as a sum of squares, is the evidence for it. The margin of the disc matters: without
it, any small plain sprite fits somewhere into a larger one. At first sight the background is one colour; at a
closer look every row has its own, or every column, so that a horizon or a wall is nobody's evidence. A place
is found by its colours, cell by cell; cells that fit worst do not count: a sprite may hide them.
"""

from __future__ import annotations

import math
import statistics
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
from vmc_cli.evaluation import tracks

NAMES = [*SUBJECTS, *STRANGERS]
DIAMETERS = (11, 13, 15, 17, 20, 23, 26, 29, 33, 37, 42)  # pixels, steps of about an eighth
TURNS = 24  # angles at which a turning sprite is looked for
_MARGIN = 0.15  # of the diameter, around the sprite on every side
_EDGE = 8  # pixels that the picture is continued by, so that sprites may stand at its edge
_REACH = 40  # pixels around the picture, for discs at its edge
_CANDIDATES = 12  # sprites that are looked at closely
_PEAKS = 3  # spots of each
_APART = 0.8  # diameters between a sprite and a second one
_SECOND = 0.3  # of the evidence for the first: rendered second ones have 0.9, what is none has less than 0
_SOMEBODY = 0.4  # share: what the model draws has 0.47 and more, what a place is taken for mostly below 0.3
_REST = 0.012  # frame widths a step: a sprite that stands is seen up to half a pixel aside, both ways
_UPRIGHT = 1.25  # times the evidence for another angle is needed to believe it
_CLEAR = 0.7  # of the best share: a sprite that is seen upright so well has the size that it is seen in


@dataclass(frozen=True)
class Sighting:
    """A sprite in one frame: centre (x, y) and diameter in frame widths.

    ``share`` is how much of what one colour leaves unexplained in the disc the sprite explains, at most 1.
    """

    x: float
    y: float
    diameter: float
    share: float


def _cut(sprites: Tensor, diameter: int) -> tuple[Tensor, Tensor, Tensor]:
    """Colour times opacity (N, 3, k, k), opacity (N, 1, k, k) and the disc (1, 1, k, k) around sprites."""
    margin = max(2, round(diameter * _MARGIN))
    sprites = F.interpolate(sprites, size=(diameter, diameter), mode="bilinear", antialias=True)
    sprites = F.pad(sprites, (margin,) * 4)
    size = diameter + 2 * margin
    line = torch.arange(size) - (size - 1) / 2
    disc = (line[:, None] ** 2 + line**2).sqrt() <= size / 2
    return sprites[:, :3], sprites[:, 3:], disc.float()[None, None]


@lru_cache(maxsize=32)
def _discs(diameter: int) -> tuple[Tensor, Tensor, Tensor]:
    return _cut(glyphs(), diameter)


def _one(row: int, diameter: int) -> tuple[Tensor, Tensor, Tensor]:
    colour, opacity, disc = _discs(diameter)
    return colour[row : row + 1], opacity[row : row + 1], disc


def _turned(sprites: Tensor, angle: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, sin, 0.0], [-sin, cos, 0.0]]).expand(len(sprites), 2, 3)
    return F.grid_sample(sprites, F.affine_grid(turn, list(sprites.shape), False), align_corners=False)


def _correlated(image: Tensor, kernel: Tensor, side: int) -> Tensor:
    """Spectrum (F, 1 or C, ...) with kernels (N, 1 or C, k, k): (F, N, C, side, side), at their centres."""
    period = image.shape[-2]
    spectrum = torch.fft.rfft2(kernel, s=(period, period)).conj()
    product = image[:, None] * spectrum[None]
    shift = kernel.shape[-1] // 2
    found = torch.fft.irfft2(product, s=(period, period)).roll((shift, shift), (-2, -1))
    return found[..., _EDGE : _EDGE + side, _EDGE : _EDGE + side]


def evidence(frames: Tensor, discs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """What each of N sprites explains at each position, as a sum of squares.

    frames (F, 3, s, s) in [-1, 1] and sprites in their discs, as `_cut` gives them, make (F, N, s, s).
    """
    colour, opacity, disc = discs
    side, behind = frames.shape[-1], (1 - opacity) * disc
    period = side + _EDGE + disc.shape[-1] // 2 + 1  # what wraps around lands outside the picture
    picture = F.pad(frames, (_EDGE,) * 4, mode="replicate")
    spectrum = torch.fft.rfft2(picture, s=(period + _EDGE, period + _EDGE))
    plain = _correlated(spectrum, disc, side).pow(2).sum(2) / disc.sum()
    agreement = _correlated(spectrum, colour, side).sum(2)
    left = _correlated(spectrum, behind, side) - (behind * colour).sum((2, 3))[None, :, :, None, None]
    own = colour.pow(2).sum((1, 2, 3))[None, :, None, None]
    room = behind.pow(2).sum((1, 2, 3))[None, :, None, None]
    return 2 * agreement - own + left.pow(2).sum(2) / room - plain


def as_tensor(frames: np.ndarray) -> Tensor:
    """(F, SIZE, SIZE, 3) uint8 -> (F, 3, SIZE, SIZE) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


def track(frames: np.ndarray, name: str) -> list[Sighting]:
    """Where the sprite `name` is in every frame, if it is there: where it explains most."""
    return _way(_sightings(as_tensor(frames), name))


def cast(frames: np.ndarray, names: Sequence[str] = NAMES) -> dict[str, list[Sighting]]:
    """Which of the sprites the video shows, and their ways, the one that explains most first.

    The others stand apart from those before them. Of a sprite that is seen twice this tells one; in a mere
    place nobody is seen.
    """
    video, found, most = as_tensor(frames), dict[str, list[Sighting]](), 0.0
    likely = {name: score for name, score in scores(frames, names).items() if score > 0}
    for name in sorted(likely, key=lambda each: -likely[each]):
        sightings = _sightings(video, name, list(found.values()))
        explained = statistics.median(each for each, _ in sightings)
        share = statistics.median(seen.share for _, seen in sightings)
        if share > _SOMEBODY and explained > _SECOND * most:
            found[name], most = _way(sightings), max(most, explained)
    return found


def doubled(frames: np.ndarray, name: str) -> float:
    """The share of the frames in which the sprite is to be seen a second time.

    A way through such frames may jump from one to the other, and tells nothing.
    """
    video = as_tensor(frames)
    first = _sightings(video, name)
    second = _sightings(video, name, [_way(first)])
    return statistics.fmean(
        again > _SECOND * once for (once, _), (again, _) in zip(first, second, strict=True)
    )


def turned(frames: np.ndarray, name: str, way: Sequence[Sighting]) -> float:
    """By how much the sprite turns on its ``way``, from first to last, in radians, clockwise positive.

    0 where it stays upright: where no other angle explains much more.
    """
    video, glyph = as_tensor(frames), glyphs()[NAMES.index(name)][None]
    clearest = max(way, key=lambda seen: seen.share)
    sizes = [seen if seen.share > _CLEAR * clearest.share else clearest for seen in way]
    diameters = torch.tensor([round(seen.diameter * SIZE) for seen in sizes])
    angles = [2 * math.pi * i / TURNS for i in range(TURNS)]
    found = torch.zeros(TURNS, len(video))
    for diameter in diameters.unique().tolist():
        alike = diameters == diameter
        for turn, angle in enumerate(angles):
            sprite = _cut(_turned(glyph, angle), diameter)
            found[turn, alike] = evidence(video[alike], sprite).flatten(1).amax(1)
    if found.amax(0).sum() < _UPRIGHT * found[0].sum():
        return 0.0
    upright = np.unwrap(np.array(angles)[found.argmax(0).numpy()])
    return float(upright[-1] - upright[0])


def scores(frames: np.ndarray, names: Sequence[str] = NAMES) -> dict[str, float]:
    """What each sprite explains in two frames, a sum of squares: the largest is the one seen.

    Only the likeliest are looked at closely; the others get 0.
    """
    video = as_tensor(frames)[[0, len(frames) // 2]]
    small = F.interpolate(video, scale_factor=0.5, mode="area")
    rows = [NAMES.index(name) for name in names]
    best = torch.full((len(rows),), -math.inf)
    for diameter in sorted({(each + 1) // 2 for each in DIAMETERS}):
        colour, opacity, disc = _discs(diameter)
        found = evidence(small, (colour[rows], opacity[rows], disc))
        best = torch.maximum(best, found.flatten(2).amax(2).sum(0))
    likely = best.topk(min(_CANDIDATES, len(rows))).indices.tolist()
    return {
        name: sum(found for found, _ in _sightings(video, name)) if index in likely else 0.0
        for index, name in enumerate(names)
    }


def subject(frames: np.ndarray, names: Sequence[str] = NAMES) -> str:
    """The sprite that explains most of the video, even if none is there."""
    found = scores(frames, names)
    return max(found, key=found.__getitem__)


def _sightings(
    video: Tensor, name: str, others: Sequence[Sequence[Sighting]] = ()
) -> list[tuple[float, Sighting]]:
    """The evidence for the sprite, and where it is apart from ``others``, in (F, 3, SIZE, SIZE) frames."""
    row = NAMES.index(name)
    glyph = glyphs()[row : row + 1]
    levels = [evidence(video, _one(row, diameter))[:, 0] for diameter in DIAMETERS]
    hidden = [_taken([way[index] for way in others]) for index in range(len(video))]
    found = []
    for index, frame in enumerate(video):
        peaks = [level[index].masked_fill(hidden[index], -math.inf).flatten().max(0) for level in levels]
        likely = sorted(range(len(peaks)), key=lambda i: -float(peaks[i].values))[:_PEAKS]
        spots = [(DIAMETERS[i], *divmod(int(peaks[i].indices), SIZE)) for i in likely]
        found.append(max((_closely(frame, glyph, *spot) for spot in spots), key=lambda each: each[0]))
    _, clearest = max(found, key=lambda each: each[1].share)
    for index, (explained, seen) in enumerate(found):
        if seen.share < _CLEAR * clearest.share:
            turned = _at_an_angle(video[index], glyph, round(clearest.diameter * SIZE), hidden[index])
            if turned[0] > _UPRIGHT * explained:
                found[index] = turned
    return found


def _at_an_angle(frame: Tensor, glyph: Tensor, diameter: int, hidden: Tensor) -> tuple[float, Sighting]:
    """As `_closely`, at whatever angle explains most, anywhere but where it is ``hidden``."""
    angles = [_turned(glyph, 2 * math.pi * i / TURNS) for i in range(TURNS)]
    found = evidence(frame[None], _cut(torch.cat(angles), diameter))[0].masked_fill(hidden, -math.inf)
    angle, spot = divmod(int(found.argmax()), SIZE * SIZE)
    return _closely(frame, angles[angle], diameter, *divmod(spot, SIZE))


def _taken(others: Sequence[Sighting]) -> Tensor:
    """Where no further sprite stands, (SIZE, SIZE): too close to ``others``."""
    line = (torch.arange(SIZE) + 0.5) / SIZE
    taken = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for seen in others:
        taken |= (line - seen.x) ** 2 + (line[:, None] - seen.y) ** 2 < (_APART * seen.diameter) ** 2
    return taken


def _way(sightings: Sequence[tuple[float, Sighting]]) -> list[Sighting]:
    return [seen for _, seen in sightings]


def _closely(frame: Tensor, glyph: Tensor, diameter: int, y: int, x: int) -> tuple[float, Sighting]:
    """The best of what is near a spot, of the sprite (1, 4, k, k): the evidence, and the sighting."""
    best = (-math.inf, Sighting(0.5, 0.5, 0.0, 0.0))
    padded = F.pad(frame[None], (_REACH,) * 4, mode="replicate")[0]
    for size in sorted({round(diameter * scale) for scale in (0.94, 1.0, 1.06)}):
        colour, opacity, disc = _cut(glyph, size)
        side = disc.shape[-1]
        top, left = (_REACH + middle - side // 2 - 1 for middle in (y, x))
        patches = (
            padded[:, top : top + side + 2, left : left + side + 2].unfold(1, side, 1).unfold(2, side, 1)
        )
        patches = patches.permute(1, 2, 0, 3, 4).flatten(0, 1)  # (9, 3, side, side)
        behind = (1 - opacity) * disc
        left_over = _unexplained((patches - colour) * disc, behind)
        plain = _unexplained(patches * disc, disc)
        explained, near = (plain - left_over).max(0)
        if explained > best[0]:
            dy, dx = divmod(int(near), 3)
            middle = 0.5 if side % 2 else 0.0
            share = float(explained / plain[near].clamp_min(1.0))
            at = ((place + offset - 1 + middle) / SIZE for place, offset in ((x, dx), (y, dy)))
            best = (float(explained), Sighting(*at, size / SIZE, share))
    return best


def _unexplained(picture: Tensor, weight: Tensor) -> Tensor:
    """Squares left of (N, 3, k, k) by the best colours behind: one a row, or one a column; (N,)."""
    left = []
    for along in (-1, -2):
        colours = (picture * weight).sum(along, keepdim=True) / weight.pow(2).sum(
            along, keepdim=True
        ).clamp_min(0.5)
        left.append((picture - weight * colours).pow(2).sum((1, 2, 3)))
    return torch.minimum(*left)


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
    """Mean cosine between the steps of two ways (x, y), from -1 to 1; where one of them rests it is 0.

    Steps in which both rest do not count.
    """
    first, second = (tracks.directions(np.asarray(each)[None], _REST) for each in (way, other))
    return float(tracks.agreement(first, second)[0, 0])
