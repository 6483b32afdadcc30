"""Options of the commands that generate, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vmc_cli import recipe
from vmc_cli.commands.options import motion_names, one_of
from vmc_cli.course import SOLVERS


def _noise(default: str) -> Any:
    told = f"What to start from: {', '.join(recipe.NOISES)}.{default}"
    return one_of(recipe.NOISES, "--noise", "KIND", told)


Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Compile the network for this machine first, which takes a minute or more: for many videos.",
    ),
]
Subject = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        metavar="NAME|FILE.safetensors[:STRENGTH]",
        autocompletion=motion_names,
        help="What is to be seen: a learned subject, a LoRA file of diffusers, peft or kohya, or an "
        "embedding of textual inversion, made for the same model; may be repeated.",
    ),
]
Noise = Annotated[str | None, _noise("  [default: the method's own, or random without a motion]")]
MotionsNoise = Annotated[str | None, _noise("")]
SamplingSteps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        max=recipe.MOST_STEPS,
        metavar="N",
        help="Denoising steps.  [default: the backbone's own]",
    ),
]
Solver = Annotated[
    str | None,
    one_of(
        SOLVERS,
        "--solver",
        "NAME",
        f"How steps are taken: {', '.join(SOLVERS)}, which needs fewer.  [default: the backbone's own]",
    ),
]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance",
        metavar="X",
        help="How strictly the prompt is followed.  [default: the backbone's own]",
    ),
]
GuideFrom = Annotated[
    float | None,
    typer.Option(
        "--guide-from",
        metavar="X",
        help="From a motion's noise, guide only once no more than this share of the noise is left, 0 to 1: "
        "before, the noise tells the way.  [default: the backbone's own]",
    ),
]
StillGuidance = Annotated[
    float | None,
    typer.Option(
        "--still-guidance",
        metavar="X",
        help="Before --guide-from, guide what stands still so strictly, the place: what moves is left to the "
        "noise.  [default: the backbone's own]",
    ),
]
GuideUntil = Annotated[
    float | None,
    typer.Option(
        "--guide-until",
        metavar="X",
        help="Guide only while more than this share of the noise is left, 0 to 1; then steps take half the "
        "time.  [default: the backbone's own]",
    ),
]
Eta = Annotated[
    float | None,
    typer.Option(
        "--eta",
        metavar="X",
        help="How much fresh noise is added while details are drawn, 0 to 1.  [default: the backbone's own]",
    ),
]
Negative = Annotated[str, typer.Option("--negative", metavar="TEXT", help="What should not be seen.")]
Count = Annotated[
    int, typer.Option("--count", min=1, max=1000, metavar="N", help="How many videos, a seed each.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="File (.mp4, .gif, .webp), existing folder to put it into, or a new folder of PNGs."
        "  [default: named after the prompt, here]",
    ),
]
Strength = Annotated[
    float,
    typer.Option("--strength", metavar="X", help="How strongly motions act; 0 is not at all, 1 as learned."),
]
