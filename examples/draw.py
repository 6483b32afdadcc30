"""Draw the example clips, on ways that the embedded model was never taught: python examples/draw.py"""

from __future__ import annotations

from math import cos, pi, sin
from pathlib import Path

from vmc_cli.backbones.sprites.drawing import render
from vmc_cli.backbones.sprites.world import Scene, actor
from vmc_cli.clip import Clip, write

FRAMES = 8
HERE = Path(__file__).parent

CIRCLE = [
    (0.5 + 0.24 * cos(2 * pi * i / FRAMES), 0.5 + 0.24 * sin(2 * pi * i / FRAMES)) for i in range(FRAMES)
]
ZIGZAG = [(0.22 + 0.08 * i, 0.66 if i % 4 in (0, 3) else 0.34) for i in range(FRAMES)]

CLIPS = {
    "ladybug_circling": Scene("grass", 7, (actor("ladybug", CIRCLE, 0.40),)),
    "robot_zigzagging": Scene("city", 5, (actor("robot", ZIGZAG, 0.40),)),
}

for name, scene in CLIPS.items():
    frames = render(scene).repeat(4, axis=1).repeat(4, axis=2)
    write(Clip(frames, 8.0), HERE / f"{name}.mp4", metadata={"licence": "Apache-2.0"}, replace=True)
