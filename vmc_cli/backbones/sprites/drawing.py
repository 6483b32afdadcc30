"""Scenes to pixels, many at a time, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .places import paint
from .world import FRAMES, SIZE, STRANGERS, SUBJECTS, Scene

GLYPH = 96  # pixels of a sprite in the atlas
_ATLAS = Path(__file__).parent / "sprites.webp"
_COLUMNS = 12


@cache
def glyphs() -> Tensor:
    """All sprites, SUBJECTS first, then STRANGERS: (N, 4, GLYPH, GLYPH), colour times opacity, opacity.

    Colours are in [-1, 1], opacities in [0, 1].
    """
    atlas = np.asarray(Image.open(_ATLAS).convert("RGBA"), dtype=np.float32) / 255
    tiles = []
    for index in range(len(SUBJECTS) + len(STRANGERS)):
        row, column = divmod(index, _COLUMNS)
        tile = atlas[row * GLYPH : (row + 1) * GLYPH, column * GLYPH : (column + 1) * GLYPH]
        alpha = tile[..., 3:]
        tiles.append(np.concatenate([(tile[..., :3] * 2 - 1) * alpha, alpha], axis=-1))
    return torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2).contiguous()


def tracks(scenes: Sequence[Scene], actors: int) -> Tensor:
    """(B, actors, F, 4): x, y, diameter and angle; an actor that a scene lacks has diameter 0."""
    frames = max((len(a.centres) for s in scenes for a in s.actors), default=FRAMES)
    table = np.zeros((len(scenes), actors, frames, 4), np.float32)
    for rows, scene in zip(table, scenes, strict=True):
        for row, actor in zip(rows, scene.actors, strict=False):
            row[:, :2], row[:, 2], row[:, 3] = actor.centres, actor.diameters, actor.angles
    return torch.from_numpy(table)


def compose(places: Tensor, sprites: Tensor, ways: Tensor) -> Tensor:
    """Put sprites on places.

    places (B, 3, SIZE, SIZE), sprites (B, A, 4, GLYPH, GLYPH) and ways (B, A, F, 4) make a video
    (B, F, 3, SIZE, SIZE) in [-1, 1].
    """
    batch, actors, frames, _ = ways.shape
    fine = 2 * SIZE  # drawn twice as fine, then averaged: smooth edges at every position
    picture = places.repeat_interleave(frames, 0)
    x, y, diameter, angle = ways.float().unbind(-1)
    scale = 1 / diameter.clamp_min(1e-4)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    cx, cy = 2 * x - 1, 2 * y - 1
    theta = torch.stack(
        [
            torch.stack([cos, sin, -cos * cx - sin * cy], -1),
            torch.stack([-sin, cos, sin * cx - cos * cy], -1),
        ],
        -2,
    )  # (B, A, F, 2, 3): from the frame's coordinates to the sprite's
    for index in range(actors):
        grid = F.affine_grid(
            theta[:, index].flatten(0, 1), [batch * frames, 4, fine, fine], align_corners=False
        )
        source = sprites[:, index].repeat_interleave(frames, 0)
        layer = F.grid_sample(source, grid.to(source.dtype), align_corners=False)
        layer = F.avg_pool2d(layer, 2)
        picture = layer[:, :3] + picture * (1 - layer[:, 3:])
    return picture.unflatten(0, (batch, frames))


def _luminance(video: Tensor) -> Tensor:
    weights = video.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (video * weights).sum(-3, keepdim=True)


def _edges(video: Tensor) -> Tensor:
    grey = F.pad(_luminance(video).flatten(0, 1), (1, 1, 1, 1), mode="replicate")
    dx, dy = grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2], grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]
    return torch.sqrt(dx**2 + dy**2 + 1e-8).unflatten(0, video.shape[:2])


def stylise(video: Tensor, style: str) -> Tensor:
    """A style of STYLES over whole clips: (B, F, 3, SIZE, SIZE) in [-1, 1] to the same."""
    if not style:
        return video
    unit = (video + 1) / 2
    grey = _luminance(unit)
    if style == "black and white":
        unit = grey.expand_as(unit)
    elif style == "night":
        unit = unit * unit.new_tensor([0.30, 0.36, 0.62]).view(3, 1, 1) + 0.02
    elif style == "pencil sketch":
        unit = (0.96 - 1.1 * _edges(unit) - 0.12 * (1 - grey)).expand_as(unit)
    elif style == "van gogh starry night":
        ramp = torch.linspace(-1, 1, SIZE, device=video.device)
        y, x = torch.meshgrid(ramp, ramp, indexing="ij")
        swirl = torch.sin(9 * x + 3 * torch.sin(4 * y)) + torch.sin(8 * y + 3 * torch.sin(5 * x))
        dark, light = (unit.new_tensor(c).view(3, 1, 1) for c in ([0.04, 0.10, 0.42], [0.98, 0.86, 0.35]))
        painted = dark + (light - dark) * (grey + 0.10 * swirl).clamp(0, 1)
        unit = 0.6 * painted + 0.4 * unit
    return unit.clamp(0, 1) * 2 - 1


def draw(scenes: Sequence[Scene], places: Tensor) -> Tensor:
    """Scenes on given places (B, 3, SIZE, SIZE), on their device: (B, F, 3, SIZE, SIZE) in [-1, 1]."""
    order = {name: index for index, name in enumerate([*SUBJECTS, *STRANGERS])}
    most = max([1] + [len(s.actors) for s in scenes])
    chosen = torch.tensor([([order[a.subject] for a in s.actors] + [0] * most)[:most] for s in scenes])
    sprites = glyphs().to(places.device)[chosen.to(places.device)]
    video = compose(places, sprites, tracks(scenes, most).to(places.device))
    for style in {s.style for s in scenes} - {""}:
        rows = torch.tensor([s.style == style for s in scenes], device=places.device)
        video[rows] = stylise(video[rows], style)
    return video


def render(scene: Scene) -> np.ndarray:
    """One scene as frames: (F, SIZE, SIZE, 3) uint8."""
    video = draw([scene], torch.from_numpy(paint(scene.place, scene.variant))[None])[0]
    return ((video.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
