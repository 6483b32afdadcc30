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

from vmc_cli import adapters, backbones, recipe_file
from vmc_cli.losses import LOSSES
from vmc_cli.motions import starting


def median(action: Callable[[], object], repeats: int) -> float:
    """Milliseconds of the middle one of `repeats` runs, after one that does not count."""
    action()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return round(1000 * statistics.median(seconds), 1)


def measured(repeats: int) -> dict[str, Any]:
    began = time.perf_counter()
    backbone = backbones.load(backbones.find("sprites"))
    loading = 1000 * (time.perf_counter() - began)
    recipe = recipe_file.chosen("vmc", backbone.spec.recipes)
    clip = MOTIONS["circle"].clip()
    latents, embedding = backbone.encode(clip.frames), backbone.embed(["a ladybug is circling"])
    t = torch.tensor([500])
    examples, told = latents.repeat(recipe.batch, 1, 1, 1, 1), embedding.repeat(recipe.batch, 1, 1)
    noise = torch.randn_like(examples)

    @torch.no_grad()
    def sampling() -> None:
        backbone.predict(latents.expand(2, *latents.shape[1:]), t, embedding.expand(2, -1, -1))

    @torch.no_grad()
    def inverting() -> None:
        backbone.predict(examples, t, told)

    @torch.no_grad()
    def unguided() -> None:
        backbone.predict(latents, t, embedding)

    found = {"loading": round(loading, 1), "encoding a clip": median(lambda: backbone.encode(clip.frames), 3)}
    sites = backbone.sites_for(recipe.trains)
    with adapters.trained(backbone.network, sites, recipe.rank, torch.Generator().manual_seed(0)):

        def learning() -> None:
            prediction = backbone.predict(backbone.noised(examples, noise, t), t, told)
            target = backbone.target(examples, noise, t)
            LOSSES[recipe.loss](prediction, target, recipe.stride, backbone.schedule.weight(t)).backward()

        found["a step of learning"] = median(learning, repeats)
    found["a step of inverting"] = median(inverting, repeats)
    found["a step of sampling"] = median(unguided, repeats)
    found["a step of sampling, guided"] = median(sampling, repeats)
    found["decoding a video"] = median(lambda: backbone.decode(latents), 3)
    steps = {"learn": recipe.steps * found["a step of learning"]}
    rounds = (1 + len(recipe.turned)) / recipe.batch
    steps["learn"] += rounds * recipe.inversion_steps * found["a step of inverting"]
    found["learn, by its defaults, in seconds"] = round(steps["learn"] / 1000, 1)
    course = backbone.spec.course
    guided = round(course.guided * course.steps)
    compared = starting.comparisons(recipe) / 2  # in pairs
    drawing = (guided + compared) * found["a step of sampling, guided"]
    drawing += (course.steps - guided) * found["a step of sampling"] + found["decoding a video"]
    found["generate with a motion, by its defaults, in seconds"] = round(drawing / 1000, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    print(json.dumps(measured(parser.parse_args().repeats), indent=1))


if __name__ == "__main__":
    main()
