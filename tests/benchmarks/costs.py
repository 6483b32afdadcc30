"""What each published model costs at its full size, counted on the meta device: no weights, no seconds.

Beside it stands the same step as the papers' code takes it: the stock network in float32, full matrices of
queries, keys and values learned, nothing recomputed. `tests/vmc_cli/test_costs.py` keeps the numbers.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import torch

from vmc_cli import adapters, backbones, costs, motions, recipe_file
from vmc_cli.backbones import Spec, placement
from vmc_cli.device import generator
from vmc_cli.losses import residual_cosine
from vmc_cli.recipes import RECIPES

CUDA = torch.device("cuda")
GIB = 2**30


def counted(spec: Spec) -> dict[str, Any]:
    """Of learning by the method vmc, and of generating, in bfloat16 on a GPU."""
    backbone = backbones.blueprint(spec, CUDA, torch.bfloat16)
    recipe = recipe_file.chosen("vmc", spec.recipes)
    learn = {level: costs.learning(backbone, recipe, level) for level in costs.LEARNING_LEVELS}
    generate = {level: costs.generating(backbone, level) for level in costs.LEVELS}
    rounds = math.ceil((1 + len(recipe.turned)) / recipe.batch)  # of inverting
    return {
        "frames": f"{spec.frames} of {spec.width}x{spec.height}",
        "parameters": sum(parameter.numel() for parameter in backbone.network.parameters()),
        "file_bytes": motions.file_sizes(backbone, recipe, 1)[0],
        "calls of the network": {
            "learn": recipe.inversion_steps * rounds + recipe.steps,
            "generate, each of two": spec.course.steps,
        },
        "learn": {level: worded(cost) for level, cost in learn.items()},
        "learn, as published": worded(published(spec)),
        "generate": {level: worded(cost) for level, cost in generate.items()},
    }


def published(spec: Spec) -> costs.Cost:
    """A step of learning without anything of vmc but its sites and its objective."""
    backbone = backbones.blueprint(spec, CUDA, torch.float32)
    for module in backbone.network.modules():
        module._forward_pre_hooks.clear()
        if type(module).__name__ == "TemporalConvolution":
            module.__class__ = torch.nn.Conv3d
    sites = backbone.sites_for(RECIPES["vmc"].trains)
    noisy, target = (torch.empty(1, *backbone.latent_shape, device="meta") for _ in range(2))
    told = torch.empty(1, *backbone.embedding_shape, device="meta")
    weight = torch.empty(1, device="meta")
    with (
        costs.Meter(backbone.device) as meter,
        adapters.trained(backbone.network, sites, None, generator(0)) as trainable,
    ):
        prediction = backbone.predict(noisy, torch.zeros(1, device="meta"), told)
        residual_cosine(prediction, target, 1, weight).backward()
        moments = costs.MOMENTS * sum(parameter.numel() for parameter in trainable.parameters.values())
    return costs.Cost(meter.flops, meter.kernels, placement.size(backbone.network) + meter.peak + moments)


def worded(cost: costs.Cost) -> dict[str, Any]:
    return {
        "TFLOP": round(cost.flops / 1e12, 2),
        "kernels": cost.kernels,
        "GiB": round(cost.peak / GIB, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(backbones.BACKBONES))
    for name in parser.parse_args().names:
        print(json.dumps({name: counted(backbones.find(name))}, indent=1))


if __name__ == "__main__":
    main()
