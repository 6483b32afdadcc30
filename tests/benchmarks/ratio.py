"""How many times faster a step is than the papers' step, on the embedded model and this machine.

Theirs is made again from diffusers' own classes: the frozen network in float32 with autocast, their
own attention and convolutions, full matrices learned. Both take turns, so that whatever else the machine does
hits both; told are the median of the ratios and, by bootstrap, where it lies with 95 % confidence.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet3DConditionModel
from suite import MOTIONS
from torch import Tensor

from vmc_cli import adapters, backbones, recipe_file
from vmc_cli.backbones.base import Backbone
from vmc_cli.losses import residual_cosine
from vmc_cli.recipes import RECIPES

WARM = 3  # turns that do not count
DRAWS = 2000


def compared(ours: Callable[[], object], theirs: Callable[[], object], turns: int) -> dict[str, float]:
    """Seconds of theirs over seconds of ours."""
    seconds = np.empty((WARM + turns, 2))
    for turn in seconds:
        for side, action in enumerate((ours, theirs)):
            began = time.perf_counter()
            action()
            turn[side] = time.perf_counter() - began
    ratios = seconds[WARM:, 1] / seconds[WARM:, 0]
    drawn = np.random.default_rng(0).choice(ratios, (DRAWS, turns))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    middle = seconds[WARM:, 0]
    return {
        "times as fast": round(float(np.median(ratios)), 2),
        "from": round(float(low), 2),
        "to": round(float(high), 2),
        "milliseconds": round(1000 * float(np.median(middle)), 1),
    }


class Published:
    """The steps of the papers' code."""

    def __init__(self, backbone: Backbone, noisy: Tensor, noise: Tensor, embedding: Tensor) -> None:
        folder = backbones.places(backbone.spec)[0]
        self._network = UNet3DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        self._network.requires_grad_(False)
        for site in backbone.sites_for(RECIPES["vmc"].trains):
            self._network.get_submodule(site.name).weight.requires_grad_(True)
        self._dtype, self._device = backbone.dtype, backbone.device.type
        self._noisy, self._noise, self._embedding = noisy, noise, embedding

    def learn(self) -> None:
        with torch.autocast(self._device, dtype=self._dtype):
            prediction = self._network(self._noisy, 500, self._embedding).sample
        found, wanted = (x.float().diff(dim=2).transpose(1, 2).flatten(2) for x in (prediction, self._noise))
        (1 - F.cosine_similarity(found, wanted, dim=-1)).mean().backward()

    @torch.no_grad()
    def sample(self) -> None:
        with torch.autocast(self._device, dtype=self._dtype):
            both = self._noisy.expand(2, *self._noisy.shape[1:])
            self._network(both, 500, self._embedding.expand(2, -1, -1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=30)
    turns = parser.parse_args().turns
    backbone = backbones.load(backbones.find("sprites"))
    latents = backbone.encode(MOTIONS["circle"].clip().frames)
    embedding, t = backbone.embed(["a ladybug is circling"]), torch.tensor([500])
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noisy, target = backbone.noised(latents, noise, t), backbone.target(latents, noise, t)
    theirs = Published(backbone, noisy, target, embedding)
    recipe = recipe_file.chosen("vmc", backbone.spec.recipes)
    sites, weight = backbone.sites_for(recipe.trains), backbone.schedule.weight(t)

    @torch.no_grad()
    def sample() -> None:
        backbone.predict(noisy.expand(2, *noisy.shape[1:]), t, embedding.expand(2, -1, -1))

    found = {"a guided step of sampling": compared(sample, theirs.sample, turns)}
    for name, rank in (("with full matrices", None), (f"of rank {recipe.rank}", recipe.rank)):
        generator = torch.Generator().manual_seed(0)
        with adapters.trained(backbone.network, sites, rank, generator):

            def learn() -> None:
                residual_cosine(backbone.predict(noisy, t, embedding), target, 1, weight).backward()

            found[f"a step of learning {name}"] = compared(learn, theirs.learn, turns)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
