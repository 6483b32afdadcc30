"""Ways that words leave open: any at all. Those that have a shape are left to learned motions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from .world import FRAMES, TILT, Actor, changes, snapped

PACE = {"slow": (0.02, 0.06), "normal": (0.02, 0.22), "fast": (0.12, 0.26)}
"""For each step, in frame widths: the spread of its draws along x and y."""

ANYHOW = "anyhow"
"""What else is done: other sizes, angles or both, frame by frame at random."""

_PAUSING = 0.25  # of those who wander
_PAUSES = 0.4  # of their steps


def wanderers(
    subjects: Sequence[str], diameter: float, rng: random.Random, speed: str = "normal", also: str = ""
) -> tuple[Actor, ...]:
    """A sprite that wanders, or two that do it together, side by side: every step is drawn, more or less like
    the one before, and some pause now and then. ``also`` is what they do meanwhile: growing, shrinking,
    turning or ANYHOW.
    """
    scales, angles = _anyhow(rng) if also == ANYHOW else changes(also, rng.choice(("normal", "fast")))
    diameter = min(diameter, 0.9 / max(scales))
    reach = diameter * max(scales) / 2
    apart = [0.0, 0.0]
    if len(subjects) > 1:
        apart[rng.randrange(2)] = rng.uniform(diameter, 1 - 2 * reach)
    bounds = [(reach, 1 - reach - gap) for gap in apart]
    way = _way(bounds, rng, speed)
    sizes = tuple(snapped(diameter * scale) for scale in scales)
    return tuple(
        Actor(
            subject,
            tuple((snapped(x + number * apart[0]), snapped(y + number * apart[1])) for x, y in way),
            sizes,
            tuple(angles),
        )
        for number, subject in enumerate(subjects)
    )


def _way(bounds: Sequence[tuple[float, float]], rng: random.Random, speed: str) -> list[tuple[float, ...]]:
    """Where the frames are, within ``bounds`` along each axis, at which a step turns back."""
    like, pace = rng.uniform(-0.3, 1.0), rng.uniform(*PACE[speed])
    pauses = _PAUSES if rng.random() < _PAUSING else 0.0
    spot = [rng.uniform(*each) for each in bounds]
    step = [rng.gauss(0, pace) for _ in spot]
    way = []
    for _ in range(FRAMES):
        way.append(tuple(spot))
        step = [like * d + math.sqrt(1 - like**2) * rng.gauss(0, pace) for d in step]
        step = [
            -d if not least <= at + d <= most else d
            for at, d, (least, most) in zip(spot, step, bounds, strict=True)
        ]
        if rng.random() >= pauses:
            spot = [
                min(max(at + d, least), most) for at, d, (least, most) in zip(spot, step, bounds, strict=True)
            ]
    return way


def _anyhow(rng: random.Random) -> tuple[list[float], list[float]]:
    """Scales, angles or both that wander as ways do."""
    sizes, turns = rng.choice(((True, False), (True, False), (False, True), (True, True)))
    size, growth, angle, turn = rng.uniform(-0.3, 0.3), 0.0, 0, 0.0
    like = rng.uniform(0.0, 0.9)
    scales, angles = [], []
    for _ in range(FRAMES):
        scales.append(math.exp(size) if sizes else 1.0)
        angles.append(angle * TILT if turns else 0.0)
        growth = like * growth + math.sqrt(1 - like**2) * rng.gauss(0, 0.15)
        turn = like * turn + math.sqrt(1 - like**2) * rng.gauss(0, 2)
        size, angle = min(max(size + growth, -0.45), 0.4), angle + round(turn)
    return scales, angles
