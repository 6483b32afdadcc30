"""How far the embedded model is off at one step, in sprites and around them; see --help.

Mean square errors of v for plain upright sprites, by timestep: with the caption of the scene, without one,
and with one that names another subject. What the first two lines differ by is what words tell. Models that
draw nameable sprites differ from those that draw blobs in the error in sprites at 250.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vmc_cli import backbones
from vmc_cli.backbones import unet3d
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.sprites import drawing, scenes, world

TIMES = (250, 350, 450, 550, 650)
FRAME = 3  # of each clip


def plain(rng: random.Random) -> Iterator[tuple[world.Scene, str]]:
    """Random scenes with one upright sprite of the usual size, and their captions."""
    usual = round(world.DIAMETER[""][0] * world.SIZE / world.GRID) * world.GRID / world.SIZE
    while True:
        scene, caption = scenes.draw(rng)
        alone = len(scene.actors) == 1 and not scene.style
        if alone and not any(scene.actors[0].angles) and set(scene.actors[0].diameters) == {usual}:
            yield scene, caption


def renamed(caption: str) -> str:
    """The caption with each subject replaced by another."""
    names = list(world.SUBJECTS)
    other = {name: names[(place + 7) % len(names)] for place, name in enumerate(names)}
    return " ".join(other.get(word, word) for word in caption.split())


def errors(backbone: Backbone, latents: Tensor, subject: Tensor, captions: list[str]) -> Iterator[str]:
    """For each timestep the mean square error of v in the sprites and outside of them."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    embedding = backbone.embed(captions)
    for time in TIMES:
        squares = []
        for clean, added, words in zip(latents.split(48), noise.split(48), embedding.split(48), strict=True):
            t = torch.full((len(clean),), time)
            wrong = backbone.predict(backbone.noised(clean, added, t), t, words) - backbone.target(
                clean, added, t
            )
            squares.append(wrong.pow(2).mean(1, keepdim=True))
        square = torch.cat(squares)
        inside, outside = (float((square * part).sum() / part.sum()) for part in (subject, 1 - subject))
        yield f"{inside:.3f} / {outside:.3f}"


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, nargs="*", default=[], help="other builds of the model")
    asked = parser.parse_args()
    spec = backbones.find("sprites")
    found = plain(random.Random(asked.seed))
    told, captions = zip(*(next(found) for _ in range(asked.count)), strict=True)
    frames = [drawing.render(scene)[FRAME] for scene in told]
    empty = [
        drawing.render(world.Scene(scene.place, scene.variant, scene.actors[:0]))[FRAME] for scene in told
    ]
    differs = abs(np.array(frames, int) - np.array(empty)).max(-1) > 12
    subject = F.avg_pool2d(torch.from_numpy(differs).float()[:, None], 4)[:, :, None]
    for folder in asked.weights or backbones.places(spec):
        backbone = unet3d.load([folder], spec, "other", "cpu")
        latents = torch.cat([backbone.encode(frame[None]) for frame in frames])
        print(f"{folder.name}: in sprites / around them, at t = {', '.join(map(str, TIMES))}")
        for name, words in (
            ("right", list(captions)),
            ("none", [""] * len(captions)),
            ("wrong", [renamed(caption) for caption in captions]),
        ):
            print(f"{name:6}", "   ".join(errors(backbone, latents, subject, words)), flush=True)


if __name__ == "__main__":
    main()
