"""What the places look like: large soft shapes, a new look for every seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .world import SIZE

Image = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
_Y, _X = (np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5) / SIZE


class _Canvas:
    """A picture being painted, (SIZE, SIZE, 3) in [0, 1], with its own random numbers."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.picture: Image = np.zeros((SIZE, SIZE, 3), np.float32)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def tint(self, colour: Colour, amount: float = 0.05) -> npt.NDArray[np.float32]:
        shade = self.rng.uniform(-amount, amount) + self.rng.uniform(-amount, amount, 3) / 2
        return np.clip(np.array(colour) + shade, 0, 1).astype(np.float32)

    def cover(self, mask: Image, colour: Colour, opacity: float = 1.0) -> None:
        weight = (np.clip(mask, 0, 1) * opacity)[..., None]
        self.picture = self.picture * (1 - weight) + self.tint(colour) * weight

    def gradient(self, top: Colour, bottom: Colour) -> None:
        self.picture = self.tint(top) * (1 - _Y[..., None]) + self.tint(bottom) * _Y[..., None]

    def disc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        opacity: float = 1.0,
        soft: float = 0.15,
    ) -> None:
        distance = np.sqrt(((_X - x) / rx) ** 2 + ((_Y - y) / ry) ** 2)
        self.cover((1 - distance) / soft + 0.5, colour, opacity)

    def ground(
        self, height: float, colour: Colour, wave: float = 0.03, opacity: float = 1.0, soft: float = 0.02
    ) -> None:
        """Everything below a gently waving line at `height`."""
        phase, beats = self.between(0, 6.28), self.between(0.6, 1.6)
        line = height + wave * np.sin(6.28 * beats * _X + phase)
        self.cover((_Y - line) / soft + 0.5, colour, opacity)

    def box(self, x: float, top: float, width: float, bottom: float, colour: Colour) -> None:
        soft = 0.008
        inside = np.minimum(width / 2 - np.abs(_X - x), np.minimum(_Y - top, bottom - _Y))
        self.cover(inside / soft + 0.5, colour)

    def peak(self, x: float, top: float, slope: float, colour: Colour) -> None:
        self.cover((_Y - top - slope * np.abs(_X - x)) / 0.02 + 0.5, colour)


def _city(c: _Canvas) -> None:
    c.gradient((0.72, 0.78, 0.86), (0.86, 0.85, 0.80))
    road = c.between(0.80, 0.86)
    x = c.between(-0.05, 0.05)
    while x < 1.1:
        width = c.between(0.12, 0.22)
        grey = c.between(0.45, 0.68)
        c.box(x, c.between(0.15, 0.5), width, road, (grey, grey * 0.93, grey * 0.9))
        x += width + c.between(-0.02, 0.04)
    c.ground(road, (0.33, 0.33, 0.36), wave=0.0)


def _sea(c: _Canvas) -> None:
    c.gradient((0.16, 0.55, 0.80), (0.03, 0.20, 0.45))
    for _ in range(3):
        c.ground(c.between(0.2, 0.9), (0.08, 0.36, 0.62), wave=0.04, opacity=0.35, soft=0.08)


def _forest(c: _Canvas) -> None:
    c.gradient((0.20, 0.42, 0.22), (0.10, 0.26, 0.12))
    for _ in range(5):
        c.box(c.between(0, 1), 0.2, c.between(0.04, 0.07), 0.85, (0.30, 0.21, 0.13))
    for _ in range(7):
        c.disc(
            c.between(0, 1),
            c.between(0.0, 0.35),
            c.between(0.14, 0.24),
            c.between(0.1, 0.18),
            (0.12, 0.38, 0.15),
            0.8,
            0.3,
        )
    c.ground(0.84, (0.20, 0.27, 0.11))


def _desert(c: _Canvas) -> None:
    c.gradient((0.98, 0.86, 0.62), (0.97, 0.80, 0.52))
    for height, shade in ((0.5, 0.86), (0.66, 0.80), (0.82, 0.74)):
        c.ground(height + c.between(-0.05, 0.05), (shade, shade * 0.76, shade * 0.46), wave=0.06)


def _sky(c: _Canvas) -> None:
    c.gradient((0.36, 0.66, 0.96), (0.70, 0.88, 0.99))
    for _ in range(5):
        x, y, r = c.between(0, 1), c.between(0.1, 0.95), c.between(0.10, 0.2)
        for dx in (-0.5, 0.0, 0.55):
            c.disc(x + dx * r, y + abs(dx) * r * 0.3, r * 0.7, r * 0.42, (0.97, 0.98, 1.0), 0.8, 0.5)


def _snow(c: _Canvas) -> None:
    c.gradient((0.70, 0.78, 0.86), (0.84, 0.89, 0.94))
    for height in (0.5, 0.66, 0.82):
        shade = 0.90 + height * 0.1
        c.ground(height + c.between(-0.05, 0.05), (shade - 0.04, shade - 0.02, shade), wave=0.05, soft=0.03)


def _space(c: _Canvas) -> None:
    c.gradient((0.03, 0.02, 0.09), (0.06, 0.03, 0.14))
    for _ in range(3):
        c.disc(
            c.between(0, 1),
            c.between(0, 1),
            c.between(0.2, 0.4),
            c.between(0.1, 0.3),
            (0.32, 0.12, 0.42),
            0.4,
            1.0,
        )
    for _ in range(9):
        r = c.between(0.008, 0.016)
        c.disc(c.between(0, 1), c.between(0, 1), r, r, (0.95, 0.95, 0.85), 1.0, 0.8)


def _grass(c: _Canvas) -> None:
    c.gradient((0.55, 0.80, 0.98), (0.80, 0.92, 0.98))
    for height, shade in ((0.38, 0.74), (0.58, 0.66), (0.8, 0.58)):
        c.ground(height + c.between(-0.05, 0.05), (shade * 0.55, shade, shade * 0.28), wave=0.03)


def _beach(c: _Canvas) -> None:
    c.gradient((0.52, 0.82, 0.96), (0.80, 0.93, 0.98))
    water = c.between(0.30, 0.38)
    c.ground(water, (0.12, 0.62, 0.72), wave=0.0)
    shore = c.between(0.54, 0.62)
    c.ground(shore - 0.03, (0.90, 0.97, 0.97), wave=0.02)
    c.ground(shore, (0.95, 0.87, 0.66), wave=0.02)


def _volcano(c: _Canvas) -> None:
    c.gradient((0.22, 0.05, 0.06), (0.45, 0.12, 0.06))
    c.peak(c.between(0.25, 0.75), c.between(0.2, 0.35), c.between(0.7, 1.0), (0.20, 0.12, 0.12))
    c.ground(c.between(0.74, 0.82), (0.95, 0.40, 0.08), wave=0.03, soft=0.06)
    for _ in range(3):
        c.disc(c.between(0, 1), c.between(0.84, 0.98), c.between(0.1, 0.2), 0.04, (1.0, 0.75, 0.20), 0.8, 0.6)


def _mountains(c: _Canvas) -> None:
    c.gradient((0.98, 0.74, 0.66), (1.0, 0.90, 0.76))
    for x in (c.between(0.05, 0.3), c.between(0.4, 0.6), c.between(0.7, 0.95)):
        c.peak(x, c.between(0.25, 0.42), c.between(0.9, 1.4), (0.50, 0.42, 0.66))
    c.ground(c.between(0.72, 0.8), (0.34, 0.30, 0.50), wave=0.05)


def _room(c: _Canvas) -> None:
    c.gradient((0.88, 0.62, 0.70), (0.84, 0.54, 0.62))
    x = c.between(0.2, 0.8)
    c.box(x, 0.12, 0.30, 0.42, (0.98, 0.94, 0.86))
    c.box(x, 0.15, 0.24, 0.39, (0.55, 0.78, 0.95))
    floor = c.between(0.70, 0.78)
    c.ground(floor, (0.96, 0.92, 0.88), wave=0.0)
    c.ground(floor + 0.03, (0.55, 0.33, 0.18), wave=0.0)


PAINTERS = {
    "city": _city,
    "sea": _sea,
    "forest": _forest,
    "desert": _desert,
    "sky": _sky,
    "snow": _snow,
    "space": _space,
    "grass": _grass,
    "beach": _beach,
    "mountains": _mountains,
    "room": _room,
    "volcano": _volcano,
}


def paint(place: str, variant: int) -> Image:
    """A place as (3, SIZE, SIZE) in [-1, 1]; the same variant always looks the same."""
    canvas = _Canvas(variant)
    PAINTERS[place](canvas)
    return np.ascontiguousarray(canvas.picture.transpose(2, 0, 1) * 2 - 1, dtype=np.float32)
