"""Motion without appearance: points followed through two videos, and how well their ways agree."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Grey = NDArray[np.uint8]
Points = NDArray[np.float32]
Tracks = NDArray[np.float64]
"""(P, F, 2): x and y of each point in every frame, in units of the longer side."""

SIDE = 256  # pixels of the shorter side while following: windows of 15 pixels are too coarse for less
POINTS = 400
WINDOW = 15  # pixels
REACH = 0.4  # of the longer side: how far from one frame to the next a lost point is looked for
ALIKE, SUPPORT = 0.8, 0.1  # an agreement, and the share of all moving tracks that must agree with one
LOST = 1.0  # pixels of the video between a point and where following it back in time leads
MOVING = 0.02  # of the longer side: a point that never gets further from its start stands still
REST = 2 * MOVING  # of the longer side: steps that would not make this in a whole clip are jitter


def follow(frames: Frames) -> Tracks:
    """Follow the corners of the first frame through all, and those of the last one backward.

    By pyramidal Lucas-Kanade. Where that fails, as it does when something jumps by its own size, the point's
    surroundings are looked for by correlation first. A point counts when it can be followed through all
    frames, and every step back again.
    """
    return np.concatenate([_forward(frames), _forward(frames[::-1])[:, ::-1]])


def _forward(frames: Frames) -> Tracks:
    height, width = frames.shape[1:3]
    scale = max(1.0, SIDE / min(height, width))
    size = (round(width * scale), round(height * scale))
    grey = [
        cv2.resize(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_CUBIC)
        for each in frames
    ]
    corners = cv2.goodFeaturesToTrack(grey[0], POINTS, qualityLevel=0.005, minDistance=5)
    if corners is None:
        return np.zeros((0, len(frames), 2))
    way = corners.reshape(-1, 1, 2)
    for before, after in itertools.pairwise(grey):
        here = np.ascontiguousarray(way[:, -1])
        moved, sure = _step(before, after, here, here, LOST * scale)
        if not sure.all():
            guesses = np.stack([_looked_for(before, after, point) for point in here[~sure]])
            moved[~sure], sure[~sure] = _step(before, after, here[~sure], guesses, LOST * scale)
        way = np.concatenate([way[sure], moved[sure, None]], axis=1)
        if not len(way):
            return np.zeros((0, len(frames), 2))
    tracks: Tracks = way.astype(np.float64) / max(size)
    return tracks


def _step(
    before: Grey, after: Grey, points: Points, guesses: Points, lost: float
) -> tuple[Points, NDArray[np.bool_]]:
    """Where points (P, 2) went, and which of them led back to within ``lost`` of where they came from."""
    moved, found = _flow(before, after, points, guesses)
    back, found_back = _flow(after, before, moved, moved - guesses + points)
    strayed = np.linalg.norm(back - points, axis=-1)
    inside = ((moved >= 0) & (moved < before.shape[::-1])).all(axis=-1)
    return moved, found & found_back & (strayed < lost) & inside


def _flow(before: Grey, after: Grey, points: Points, guesses: Points) -> tuple[Points, NDArray[np.bool_]]:
    far = not np.array_equal(points, guesses)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before,
        after,
        points[:, None],
        guesses[:, None].copy(),
        winSize=(WINDOW, WINDOW),
        maxLevel=1 if far else 4,  # a guess would be lost on a coarse level
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return moved[:, 0], found[:, 0].astype(bool)


def _looked_for(before: Grey, after: Grey, point: Points) -> Points:
    """Where the surroundings of a point correlate best, within `REACH`."""
    x, y = (round(float(each)) for each in point)
    top, left = max(0, y - WINDOW), max(0, x - WINDOW)
    patch = before[top : y + WINDOW + 1, left : x + WINDOW + 1]
    reach = round(REACH * max(before.shape))
    above, beside = max(0, top - reach), max(0, left - reach)
    field = after[above : y + WINDOW + 1 + reach, beside : x + WINDOW + 1 + reach]
    _, _, _, (column, row) = cv2.minMaxLoc(cv2.matchTemplate(field, patch, cv2.TM_CCOEFF_NORMED))
    moved: Points = point + np.array([beside + column - left, above + row - top], np.float32)
    return moved


def moving(tracks: Tracks) -> Tracks:
    """The tracks of what does not stand still. A track that hardly another one agrees with is a mistake."""
    reach = np.linalg.norm(tracks - tracks[:, :1], axis=-1).max(axis=1, initial=0)
    found = tracks[reach > MOVING]
    steps = _steps(found)
    support = (agreement(steps, steps) > ALIKE).sum(axis=1) - 1
    return found[support >= max(2, SUPPORT * len(found))]


def fidelity(learned: Tracks, made: Tracks) -> float:
    """How well the motion of two videos of equally many frames agrees, from -1 to 1.

    Every moving track looks for the one in the other video that agrees best with it; the mean over the tracks
    of both videos, each video counting half (the measure of DMT and Motion Inversion, made symmetric). Tracks
    agree by the mean cosine of their steps. A step where both rest does not count, one where one of them
    rests counts 0. Where nothing moves in one video there is nothing to compare: 0.
    """
    first, second = moving(learned), moving(made)
    if not len(first) or not len(second):
        return 0.0
    found = agreement(_steps(first), _steps(second))
    return float((found.max(axis=1).mean() + found.max(axis=0).mean()) / 2)


def _steps(tracks: Tracks) -> Tracks:
    return directions(tracks, REST / max(1, tracks.shape[1] - 1))


def directions(tracks: Tracks, rest: float) -> Tracks:
    """Steps (P, F - 1, 2) of unit length; 0 where a point goes no further than ``rest``."""
    steps = np.diff(tracks, axis=1)
    length = np.linalg.norm(steps, axis=-1, keepdims=True)
    return np.where(length > rest, steps / np.maximum(length, rest), 0.0)


def agreement(first: Tracks, second: Tracks) -> NDArray[np.float64]:
    """The mean cosine of the `directions` of each pair of tracks, (P, Q).

    A step in which both rest does not count, one in which one of them rests counts 0.
    """
    cosines = np.einsum("pfc,qfc->pq", first, second)
    goes, goes_too = first.any(axis=-1), second.any(axis=-1)
    counted = (goes[:, None] | goes_too[None]).sum(axis=-1)
    found: NDArray[np.float64] = cosines / np.maximum(counted, 1)
    return found
