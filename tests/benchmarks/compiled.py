"""What --compile costs and gives on the embedded model and this machine: its warm-up, and steps in turns.

What was compiled is kept: with VMC_HOME a new folder the first run tells the warm-up of the first command
ever, the second run that of all later ones.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from ratio import compared

from vmc_cli import backbones
from vmc_cli.device import generator
from vmc_cli.sampling import guided


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=50)
    turns = parser.parse_args().turns
    backbone = backbones.load(backbones.find("sprites"))
    course = backbone.spec.course
    noisy = torch.randn(1, *backbone.latent_shape, generator=generator(0))
    told, negative = (backbone.embed([text]) for text in ("a ladybug is circling on the grass", ""))

    @torch.no_grad()
    def step() -> torch.Tensor:
        return guided(backbone, noisy, 500, told, negative, scale=course.guidance, together=True)

    def plain() -> None:
        with torch.compiler.set_stance("force_eager"):
            step()

    wanted = step()
    with backbone.compiled():
        began = time.perf_counter()
        difference = (step() - wanted).abs().max() / wanted.abs().max()
        warm_up = time.perf_counter() - began
        found = compared(step, plain, turns)
    gain = found["milliseconds"] * (found["times as fast"] - 1) / 1000 * course.steps
    told_of = {
        "warm-up, seconds": round(warm_up, 1),
        "a guided step": found,
        "largest difference": round(float(difference), 4),
        "videos until it pays": round(warm_up / gain, 1) if gain > 0 else "never",
    }
    print(json.dumps(told_of, indent=1))


if __name__ == "__main__":
    main()
