"""What the embedded model makes of words alone: right subject, place and base motion; see --help.

"a SUBJECT is MOTION in PLACE" for random combinations, judged by the oracle. With --truth the world itself
draws them: what the oracle then gets wrong is its own error.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vmc_cli import backbones, clip, motions
from vmc_cli.backbones.sprites import drawing, world
from vmc_cli.clip import Clip
from vmc_cli.course import SOLVERS
from vmc_cli.evaluation import oracle

RESTS = 0.05  # frame widths over the whole clip: less is standing still
GROWS = 1.25  # times, from the first frame to the last
TURNS = 0.6  # radians


@dataclass(frozen=True)
class Wish:
    """One combination, and the seed it is drawn with."""

    subject: str
    motion: str
    place: str
    seed: int

    @property
    def prompt(self) -> str:
        motion, place = world.MOTIONS[self.motion][0], world.PLACES[self.place][0]
        return f"{world.indefinite(self.subject)} is {motion} {place}"


def wishes(count: int, seed: int) -> list[Wish]:
    """Every subject, motion and place comes equally often, in random company."""
    rng = random.Random(seed)

    def dealt(names: list[str]) -> list[str]:
        rounds = [rng.sample(names, len(names)) for _ in range(count // len(names) + 1)]
        return [name for each in rounds for name in each][:count]

    named = (dealt(list(names)) for names in (world.SUBJECTS, world.MOTIONS, world.PLACES))
    return [Wish(*each, seed=seed + index) for index, each in enumerate(zip(*named, strict=True))]


def truth(wish: Wish) -> Clip:
    """The wish, drawn by the world."""
    rng = random.Random(wish.seed)
    actor = world.base_actor(wish.subject, wish.motion, "normal", world.DIAMETER[""])
    scene = world.Scene(wish.place, rng.randrange(1 << 20), (actor,))
    return Clip(drawing.render(scene), world.FPS)


def motion_of(frames: np.ndarray, subject: str) -> str:
    """Which of the base motions the sprite makes."""
    way = oracle.track(frames, subject)
    if abs(oracle.turned(frames, subject, way)) > TURNS:
        return "turning"
    shares = [max(seen.share, 0.01) for seen in way]
    growth, x, y = (
        (len(way) - 1) * np.polyfit(range(len(way)), told, 1, w=shares)[0]
        for told in zip(*((math.log(seen.diameter), seen.x, seen.y) for seen in way), strict=True)
    )
    if abs(growth) > math.log(GROWS):
        return "growing" if growth > 0 else "shrinking"
    if math.hypot(x, y) < RESTS:
        return "still"
    return max(world.DIRECTIONS, key=lambda name: _along(world.DIRECTIONS[name], x, y))


def _along(direction: tuple[float, float], x: float, y: float) -> float:
    return (direction[0] * x + direction[1] * y) / math.hypot(*direction)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="sampling steps")
    parser.add_argument("--solver", choices=SOLVERS)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--guide-until", type=float)
    parser.add_argument("--truth", action="store_true", help="judge the oracle on the world's own drawings")
    parser.add_argument("--weights", type=Path, help="another build of the model")
    parser.add_argument("--out", type=Path, default=Path("out/words"))
    asked = parser.parse_args()
    backbone, spec = None, backbones.find("sprites")
    named = {name: getattr(asked, name) for name in ("steps", "solver", "guidance", "guide_until")}
    course = {name: value for name, value in named.items() if value is not None}
    if not asked.truth:
        if asked.weights:
            from vmc_cli.backbones import unet3d

            backbone = unet3d.load([asked.weights], spec, "other", "cpu")
        else:
            backbone = backbones.load(spec)
    right, clips, labels, began = [], [], [], time.monotonic()
    for wish in wishes(asked.count, asked.seed):
        video = (
            motions.generate(backbone, wish.prompt, course=replace(spec.course, **course), seed=wish.seed)
            if backbone
            else truth(wish)
        )
        subject = oracle.subject(video.frames)
        seen = (subject, motion_of(video.frames, wish.subject), oracle.place(video.frames))
        right.append([a == b for a, b in zip(seen, (wish.subject, wish.motion, wish.place), strict=True)])
        clips.append(video)
        labels.append(f"{wish.prompt}: {', '.join(seen)}")
        print(f"{len(right)}/{asked.count} {labels[-1]} {right[-1]}", flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(clips), 12):
        part = slice(first, first + 12)
        clip.sheet(clips[part], asked.out / f"sheet-{first // 12}.png", labels[part], replace=True)
    shares = np.mean(right, axis=0)
    print(f"{asked.count} videos, {(time.monotonic() - began) / asked.count:.1f} s each")
    print("right subject {:.2f}, right motion {:.2f}, right place {:.2f}".format(*shares))


if __name__ == "__main__":
    main()
