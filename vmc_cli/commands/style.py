"""vmc style"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from vmc_cli import backbones, prompts, terminal
from vmc_cli.commands import (
    casting,
    checks,
    generating,
    generating_options,
    learning,
    learning_options,
    options,
    planning,
)
from vmc_cli.errors import UsageError


@dataclass(frozen=True)
class Wish(generating.Wish):
    """As for generate, but from the clip's own noise."""

    noise: generating_options.MotionsNoise = "inverted"


@options.spread
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
    resume: learning_options.Resume = False,
    backbone: options.MotionsBackbone = None,
    wish: Wish,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate the learned clip again in another style.

    From the motion's own prompt with the style at its end, and its own noise. A clip is learned first, as
    `vmc learn CLIP --prompt TEXT` does, and its motion is kept; learning that was interrupted goes on with
    --resume. The path of each video is printed.
    """
    style = checks.worded("style", style)
    if options.is_learned(motion):
        if prompt is not None or name is not None or resume:
            raise UsageError(
                f"The motion {motion} is learned already.", "Leave out --prompt, --name and --resume."
            )
        used = casting.card_of(motion).prompt_used
    else:
        learn = _to_learn(motion, prompt, name, backbone, wish, resume=resume)
        used = learn.prompt_used
        # What would fail after learning fails before it; the motion that noise is made from is still to come.
        checks.noise(wish.noise)
        anyway, model = replace(wish, noise=None), backbone or options.default_backbone()
        early = generating.planned(anyway, prompts.styled(used, style), motions=(), backbone=model)
        generating.course(wish, early.spec.course, wish.noise or "inverted")
        motion = learning.learned(learn).name
        terminal.say(f"The motion is kept as {motion}")
    plan = generating.planned(wish, prompts.styled(used, style), motions=(motion,), backbone=backbone)
    generating.carry_out(plan, as_json=json)


def _to_learn(
    clip: str, prompt: str | None, name: str | None, backbone: str | None, wish: Wish, *, resume: bool
) -> planning.Plan:
    checks.clip_or_motion(clip)
    if prompt is None:
        raise UsageError(f"What happens in {clip} is not said.", 'Add --prompt "a seagull is walking", say.')
    plan = planning.planned(
        planning.Wish(name=name, seed=wish.seed, resume=resume, memory=wish.memory, attention=wish.attention),
        prompt,
        clips=[Path(clip)],
        spec=backbones.find(backbone or options.default_backbone()),
        method=None,
    )
    return planning.require_free(plan)
