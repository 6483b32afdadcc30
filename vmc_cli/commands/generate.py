"""vmc generate"""

from __future__ import annotations

from typing import Annotated

import typer

from vmc_cli.commands import generating, options, rehearsing


@options.spread
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
    wish: generating.Wish,
    backbone: options.MotionsBackbone = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate a video from a prompt, moved by learned motions.

    The path of each video is printed. Same seed, same pixels.
    """
    plan = generating.planned(wish, prompt, motions=motion or (), backbone=backbone)
    (rehearsing.generating if dry_run else generating.carry_out)(plan, as_json=json)
