"""vmc reverse"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmc_cli import backbones
from vmc_cli.commands import casting, checks, generating, learning, options, planning
from vmc_cli.errors import UsageError
from vmc_cli.recipes import RECIPES


@options.spread
def command(
    clips: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP|NAME",
            autocompletion=options.motion_names,
            help="Videos, animated pictures or folders of pictures; or a motion that has been learned.",
        ),
    ],
    *,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            "-p",
            metavar="TEXT",
            help='What happens then: "a seagull is walking backward".'
            "  [default for NAME: its own prompt, backward]",
        ),
    ] = None,
    backbone: options.MotionsBackbone = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME|FILE.toml",
            autocompletion=lambda: list(RECIPES),
            help="How motions are learned.  [default: as for vmc learn; for NAME: as it was learned]",
        ),
    ] = None,
    wish: planning.Wish,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn a motion from a clip played backward.

    As vmc learn, on the frames in reverse order. Describe the motion as it is then: "a seagull is walking
    backward". The name of a learned motion stands for its clips, which it holds: they are not needed again.
    """
    motion = clips[0] if len(clips) == 1 and options.is_learned(clips[0]) else None
    if motion is not None:
        if any(given is not None for given in (wish.trim, wish.sample_fps, wish.regularize)):
            raise UsageError(
                f"What {motion} is learned from is chosen.",
                "Leave out --trim, --sample-fps and --regularize.",
            )
        card = casting.card_of(motion)
        prompt, spec = prompt or _backward(card.prompt_used), generating.agreed_spec(backbone, [card])
    else:
        if len(clips) == 1:
            checks.clip_or_motion(clips[0])
        if prompt is None:
            raise UsageError(
                "What happens in the clip is not said.", 'Add --prompt "a seagull is walking backward"'
            )
        spec = backbones.find(backbone or options.default_backbone())
    plan = planning.planned(
        wish,
        prompt,
        clips=[] if motion else [Path(each) for each in clips],
        motion=motion,
        spec=spec,
        method=method,
        backward=True,
    )
    learning.carry_out(plan, dry_run=dry_run, as_json=json)


def _backward(prompt: str) -> str:
    """What happens when what `prompt` tells is played backward; twice backward is forward."""
    forward = prompt.removesuffix(" backward")
    return forward if forward != prompt else f"{prompt} backward"
