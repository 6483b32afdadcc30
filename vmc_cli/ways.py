"""Where something goes in a clip: cut out of what stands still, and followed from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Masks = NDArray[np.bool_]
"""(F, H, W): where the thing is."""

CHANGED = 28  # levels of a colour: compression and shimmer make less
LARGEST = 0.35  # of a frame: what is larger is the camera, or a crowd
SMALLEST = 0.004  # of a frame: about four pixels square of 64
STEADY = 1.4  # largest by smallest diameter: masks differ by as much where nothing grows
TURNS = 0.5  # what a turn has to leave of the difference between frames for it to be one
TILT = math.pi / 12  # between two angles that are tried
REST = 0.02  # of a side: a thing that never gets further from its middle stays where it is

_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_AROUND = 4  # pixels, for inpainting
_SIMILAR = CHANGED // 2
_PART = 0.25  # of the largest piece: smaller ones are specks


@dataclass(frozen=True)
class Way:
    """Of one thing, for every frame: its middle (x, y) in shares of the sides, its size, and its angle.

    Sizes are times its usual one, angles in radians clockwise from the first frame's.
    """

    centres: tuple[tuple[float, float], ...]
    scales: tuple[float, ...]
    angles: tuple[float, ...]


def way(frames: Frames) -> Way | None:
    """The way of the one thing that moves, turns or changes its size in ``frames`` (F, H, W, 3) uint8.

    None where there is no such thing: nothing moves, the camera does, there are several, or in some frame it
    cannot be told from what is behind it.
    """
    masks = cut_out(frames)
    areas = masks.mean(axis=(1, 2))
    if not (areas > SMALLEST).all() or areas.max() > LARGEST:
        return None
    if np.median([_pieces(mask) for mask in masks]) > 1:
        return None
    height, width = masks.shape[1:]
    spots = [np.argwhere(mask).mean(axis=0) + 0.5 for mask in masks]
    centres = tuple((float(x / width), float(y / height)) for y, x in spots)
    sizes = np.sqrt(areas / np.median(areas))
    scales = tuple(map(float, sizes)) if sizes.max() > STEADY * sizes.min() else (1.0,) * len(frames)
    angles = _angles(frames, masks, sizes)
    still = np.abs(np.array(centres) - np.mean(centres, axis=0)).max() < REST
    if still and len({*scales}) == len({*angles}) == 1:
        return None
    return Way(centres, scales, angles)


def cut_out(frames: Frames) -> Masks:
    """What differs from `behind` it in each frame, without holes and specks."""
    back, changed = behind(frames)
    difference = np.abs(frames.astype(np.int16) - back).max(axis=-1)
    return np.stack([_cleaned((each > CHANGED) & changed) for each in difference])


def behind(frames: Frames) -> tuple[Frames, NDArray[np.bool_]]:
    """What stands still, (H, W, 3) uint8, and where something else was before it, (H, W).

    Of each pixel's colours the one that most frames have; among equally frequent ones that which goes with
    what is around, and that alone where the thing never gives it free.
    """
    moving = frames.astype(np.int16)
    span = (moving.max(axis=0) - moving.min(axis=0)).max(axis=-1)
    closed = cv2.morphologyEx((span > CHANGED).astype(np.uint8), cv2.MORPH_CLOSE, _DISC, iterations=2)
    changed = cv2.dilate(_filled(closed).astype(np.uint8), _DISC)
    usual = np.median(frames, axis=0).astype(np.uint8)
    guess = cv2.inpaint(usual, changed, _AROUND, cv2.INPAINT_TELEA).astype(np.int16)
    alike = (np.abs(moving[:, None] - moving[None]).max(axis=-1) <= _SIMILAR).sum(axis=1)
    unlikely = np.abs(moving - guess).max(axis=-1) / 255 * 3  # three votes against what fits least
    best = (alike - unlikely).argmax(axis=0)
    seen = np.take_along_axis(moving, best[None, ..., None], axis=0)[0]
    free = np.where((span > _SIMILAR)[..., None], seen, guess)
    return np.where(changed[..., None] > 0, free, usual).astype(np.uint8), changed > 0


def _cleaned(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    whole = _filled(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _DISC))
    smooth = cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_OPEN, _DISC)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(smooth)
    areas = facts[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= _PART * areas.max(initial=0))
    return np.isin(labels, kept)


def _filled(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """With what it surrounds."""
    around = np.pad(mask, 1)
    cv2.floodFill(around, None, (0, 0), 2)
    return (around != 2)[1:-1, 1:-1]


def _pieces(mask: NDArray[np.bool_]) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8))[0] - 1


def _angles(frames: Frames, masks: Masks, sizes: NDArray[np.float64]) -> tuple[float, ...]:
    """By how much each frame's thing is the first one's turned; all 0 where turns explain nothing."""
    upright = _portrait(frames[0], masks[0], 1.0)
    tried = np.arange(round(2 * math.pi / TILT)) * TILT
    turned = [_turned(upright, angle) for angle in tried]
    errors = np.array(
        [
            [_difference(one, _portrait(frame, mask, size)) for one in turned]
            for frame, mask, size in zip(frames, masks, sizes / sizes[0], strict=True)
        ]
    )
    best = tried[errors.argmin(axis=1)]
    if errors.min(axis=1)[1:].mean() > TURNS * errors[1:, 0].mean():
        return (0.0,) * len(frames)
    return tuple(map(float, np.unwrap(best)))


def _portrait(frame: Frames, mask: NDArray[np.bool_], size: float) -> NDArray[np.float32]:
    """The thing alone in the middle of a square, (S, S, 4): colours where it is, and where that is."""
    side = 2 * round(math.sqrt(LARGEST * mask.size) / 2)
    y, x = np.argwhere(mask).mean(axis=0)
    onto = np.array([[1 / size, 0, side / 2 - x / size], [0, 1 / size, side / 2 - y / size]])
    cut = np.dstack([frame * mask[..., None], 255 * mask]).astype(np.float32)
    return cv2.warpAffine(cut, onto, (side, side))


def _turned(portrait: NDArray[np.float32], angle: float) -> NDArray[np.float32]:
    middle = len(portrait) / 2
    onto = cv2.getRotationMatrix2D((middle, middle), -math.degrees(angle), 1.0)
    return cv2.warpAffine(portrait, onto, portrait.shape[:2])


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.square(one - other).mean())
