"""vmc generate"""

from __future__ import annotations

from typing import Annotated

import typer

from vmc_cli.commands import generating, options


def command(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help='What to show: "a chicken walking in a city".')
    ],
    *,
    motion: Annotated[
        list[str] | None,
        typer.Option(
            "--motion",
            "-m",
            metavar="NAME[:STRENGTH]",
            autocompletion=options.motion_names,
            help="A learned motion; several may act together.  [default: none, the prompt alone]",
        ),
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            "--subject",
            metavar="FILE.safetensors[:STRENGTH]",
            help="A look from a LoRA file of diffusers or peft, made for the same model; may be repeated.",
        ),
    ] = None,
    noise: options.Noise = None,
    steps: options.SamplingSteps = 50,
    guidance: options.Guidance = None,
    negative: options.Negative = "",
    seed: options.Seed = 0,
    count: options.Count = 1,
    out: options.Out = None,
    strength: options.Strength = 1.0,
    sheet: options.Sheet = None,
    force: options.Force = False,
    backbone: options.MotionsBackbone = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate a video from a prompt, moved by learned motions.

    The path of each video is printed. Same seed, same pixels.
    """
    wish = generating.Wish(
        prompt=prompt,
        motions=tuple(motion or ()),
        subjects=tuple(subject or ()),
        backbone=backbone,
        noise=noise,
        steps=steps,
        guidance=guidance,
        negative=negative,
        seed=seed,
        count=count,
        out=out,
        strength=strength,
        sheet=sheet,
        force=force,
    )
    generating.carry_out(generating.planned(wish), json)
