"""How well methods and start noises keep a motion on the embedded model: see --help.

Clips of sprites that the model never saw, on ways that it was never taught, are learned; then other sprites
are asked for, in other places. Told for each start noise: the cosine between the frame-to-frame
displacements of the clip and of the video (median, and the share above 0.8), and the share in the place.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from PIL import Image

from vmc_cli import backbones, motions
from vmc_cli.backbones.sprites import drawing, world
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta
from vmc_cli.evaluation import oracle
from vmc_cli.recipes import NOISES, RECIPES

N = world.FRAMES
WAYS = {
    "circle": [(0.5 + 0.24 * cos(2 * pi * i / N), 0.5 + 0.24 * sin(2 * pi * i / N)) for i in range(N)],
    "zigzag": [(0.22 + 0.08 * i, 0.66 if i % 4 in (0, 3) else 0.34) for i in range(N)],
    "bounce": [(0.2 + 0.085 * i, 0.75 - 0.45 * abs(sin(pi * i / 3.5))) for i in range(N)],
    "to-and-fro": [(0.5 - 0.27 * cos(2 * pi * i / (N - 1)), 0.5) for i in range(N)],
}
CLIPS = {
    "circle": ("ladybug", "grass"),
    "zigzag": ("robot", "city"),
    "bounce": ("apple", "snow"),
    "to-and-fro": ("taxi", "beach"),
}
TARGETS = (
    ("penguin", "desert"),
    ("airplane", "sky"),
    ("tiger", "grass"),
    ("rocket", "space"),
    ("car", "city"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--motions", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=list(NOISES))
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--ranks", nargs="+", default=["default"], help="numbers, 'full' or 'default'")
    parser.add_argument("--rates", nargs="+", type=float, default=[None])
    parser.add_argument("--steps", nargs="+", type=int, default=[None])
    parser.add_argument("--strength", type=float, default=1.0, help="0 is the baseline of inversion only")
    parser.add_argument("--guidance", type=float, default=None)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    asked = parser.parse_args()
    spec = backbones.find("sprites")
    backbone = backbones.load(spec)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for rank in asked.ranks:
        for rate in asked.rates:
            for steps in asked.steps:
                changes = dict(spec.recipe)
                changes |= {} if rank == "default" else {"rank": None if rank == "full" else int(rank)}
                changes |= {} if rate is None else {"learning_rate": rate}
                changes |= {} if steps is None else {"steps": steps}
                recipe = RECIPES["vmc"].adjusted(changes)
                label = f"rank {recipe.rank or 'full'}, rate {recipe.learning_rate:g}, {recipe.steps} steps"
                learned = {name: _learned(backbone, name, recipe) for name in asked.motions}
                for noise in asked.noises:
                    rows.append({"recipe": label, **_measured(backbone, learned, noise, asked)})
                    print(json.dumps(rows[-1]), flush=True)
    (asked.out / "methods.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _learned(backbone, name: str, recipe) -> Delta:
    subject, place = CLIPS[name]
    scene = world.Scene(place, 11, (world.actor(subject, WAYS[name], 0.4),))
    clip = Clip(drawing.render(scene), world.FPS)
    return motions.learn(
        backbone, [clip], name="bench", prompt=f"a {subject} is moving in {place}", recipe=recipe, seed=0
    )


def _measured(backbone, learned: dict[str, Delta], noise: str, asked) -> dict[str, object]:
    cosines, right, sheet = [], [], []
    for name, delta in learned.items():
        for seed, (subject, place) in enumerate(TARGETS[: asked.targets]):
            where = random.Random(0).choice(world.PLACES[place][:1])
            video = motions.generate(
                backbone,
                f"a {subject} is moving {where}",
                deltas=[(delta, asked.strength)],
                noise=noise,
                guidance=asked.guidance,
                seed=seed,
            )
            found = oracle.track(video.frames, subject)
            cosines.append(oracle.displacement_cosine(WAYS[name], [(s.x, s.y) for s in found]))
            right.append(oracle.place(video.frames) == place)
            sheet.append(np.concatenate(list(video.frames), axis=1))
    Image.fromarray(np.concatenate(sheet)).save(asked.out / f"{noise}.png")
    return {
        "noise": noise,
        "cosine": round(statistics.median(cosines), 3),
        "above 0.8": round(sum(c >= 0.8 for c in cosines) / len(cosines), 2),
        "place": round(sum(right) / len(right), 2),
        "videos": len(cosines),
    }


if __name__ == "__main__":
    main()
