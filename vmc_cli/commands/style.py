"""vmc style"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from registry.store import Store
from vmc_cli import prompts, terminal
from vmc_cli.commands import generating, learning, options
from vmc_cli.errors import NotFoundError, UsageError


def command(
    motion: Annotated[
        str,
        typer.Argument(
            metavar="MOTION|CLIP", autocompletion=options.motion_names, help="A learned motion, or a clip."
        ),
    ],
    style: Annotated[
        str, typer.Argument(metavar="STYLE", help='How it should look: "van gogh starry night".')
    ],
    *,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", metavar="TEXT", help="For a clip: what happens in it."),
    ] = None,
    name: options.Name = None,
    backbone: options.MotionsBackbone = None,
    noise: options.Noise = "inverted",
    steps: options.SamplingSteps = 50,
    guidance: options.Guidance = None,
    negative: options.Negative = "",
    seed: options.Seed = 0,
    count: options.Count = 1,
    out: options.Out = None,
    strength: options.Strength = 1.0,
    sheet: options.Sheet = None,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate the learned clip again in another style.

    From the motion's own prompt with the style at its end, and its own noise. A clip is learned first, as
    `vmc learn CLIP --prompt TEXT` does, and its motion is kept. The path of each video is printed.
    """
    style = options.worded("style", style)
    wish = generating.Wish(
        prompt="",
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
    if options.is_learned(motion):
        if prompt is not None or name is not None:
            raise UsageError(
                f"The motion {motion} has its prompt and name.", "Leave out --prompt and --name."
            )
        used = Store.default().card(motion).prompt_used
    else:
        learn = learning.planned(_to_learn(motion, prompt, name, backbone, seed))
        used = learn.prompt_used
        # What would fail after learning fails before it; the motion that noise is made from is still to come.
        generating.planned(replace(wish, prompt=prompts.styled(used, style), noise=None))
        motion = learning.learned(learn).name
        terminal.say(f"The motion is kept as {motion}")
    wish = replace(wish, prompt=prompts.styled(used, style), motions=(motion,))
    generating.carry_out(generating.planned(wish), json)


def _to_learn(
    clip: str, prompt: str | None, name: str | None, backbone: str | None, seed: int
) -> learning.Wish:
    if not os.path.lexists(clip):
        raise NotFoundError(f"There is neither a motion nor a clip {clip}.", "vmc list shows all motions.")
    if prompt is None:
        raise UsageError(f"What happens in {clip} is not said.", 'Add --prompt "a seagull is walking", say.')
    return learning.Wish(
        clips=[Path(clip)],
        prompt=prompt,
        name=name,
        backbone=backbone or options.default_backbone(),
        seed=seed,
    )
