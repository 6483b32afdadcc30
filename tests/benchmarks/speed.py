"""Where the time goes on this machine, with the embedded model: medians of repeated runs, in milliseconds."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from suite import MOTIONS
from torch import Tensor

from vmc_cli import adapters, backbones, recipe_file
from vmc_cli.backbones.base import Backbone
from vmc_cli.motions import Footage, starting
from vmc_cli.recipe import Recipe
from vmc_cli.training import Lesson


def median(action: Callable[[], object], repeats: int) -> float:
    """Milliseconds of the middle one of `repeats` runs, after one that does not count."""
    action()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return round(1000 * statistics.median(seconds), 1)


def measured(method: str | None, repeats: int) -> dict[str, Any]:
    """Of `method`, by default the embedded model's own."""
    began = time.perf_counter()
    backbone = backbones.load(backbones.find("sprites"))
    loading = 1000 * (time.perf_counter() - began)
    recipe = recipe_file.chosen(method or backbone.spec.method, backbone.spec.recipes)
    clip = MOTIONS["circle"].clip()
    latents, embedding = backbone.encode(clip.frames), backbone.embed(["a ladybug is circling"])
    t = torch.tensor([500])
    examples, told = latents.repeat(recipe.batch, 1, 1, 1, 1), embedding.repeat(recipe.batch, 1, 1)
    colourings = 1 + len(recipe.turned)
    inverted = examples[:colourings]

    @torch.no_grad()
    def sampling() -> None:
        backbone.predict(latents.expand(2, *latents.shape[1:]), t, embedding.expand(2, -1, -1))

    @torch.no_grad()
    def inverting() -> None:
        backbone.predict(inverted, t, told[: len(inverted)])

    @torch.no_grad()
    def unguided() -> None:
        backbone.predict(latents, t, embedding)

    found = {
        "loading": round(loading, 1),
        "encoding what is learned from": median(lambda: Footage.of(backbone, [clip], recipe), 3),
        "a step of learning": _learning(backbone, recipe, latents, embedding, repeats),
        "a step of inverting": median(inverting, repeats),
        "a step of sampling": median(unguided, repeats),
        "a step of sampling, guided": median(sampling, repeats),
        "decoding a video": median(lambda: backbone.decode(latents), 3),
    }
    learn = found["encoding what is learned from"] + recipe.steps * found["a step of learning"]
    learn += recipe.inversion_steps * found["a step of inverting"] * colourings / len(inverted)
    found["learn, by its defaults, in seconds"] = round(learn / 1000, 1)
    course = backbone.spec.course.from_noise(recipe.noise)
    guided = round(course.guided * course.steps)
    compared = starting.comparisons(recipe) / 2  # in pairs
    drawing = (guided + compared) * found["a step of sampling, guided"]
    drawing += (course.steps - guided) * found["a step of sampling"] + found["decoding a video"]
    found["generate with a motion, by its defaults, in seconds"] = round(drawing / 1000, 1)
    return found


def _learning(backbone: Backbone, recipe: Recipe, latents: Tensor, embedding: Tensor, repeats: int) -> float:
    generator = torch.Generator().manual_seed(0)
    adapter = adapters.place(backbone, recipe.adaptation)
    with adapter.trained(generator) as trainable:
        paths = adapters.Paths(backbone, (), 1, generator)
        examples = [(latents, lambda: embedding)]
        lesson = Lesson(backbone, examples, recipe, trainable, paths, generator, Tensor.backward)
        return median(lambda: lesson.motion([0] * recipe.batch), repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", help="by default the embedded model's own")
    parser.add_argument("--repeats", type=int, default=15)
    asked = parser.parse_args()
    print(json.dumps(measured(asked.method, asked.repeats), indent=1))


if __name__ == "__main__":
    main()
