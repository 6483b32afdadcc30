"""vmc generate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmc_cli import prompt_files
from vmc_cli.commands import generating, options
from vmc_cli.errors import UsageError


@options.spread
def command(
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT", show_default=False, help='What to show: "a chicken walking in a city".'
        ),
    ] = None,
    *,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Instead of PROMPT: a text file with one a line, or - for standard input.",
        ),
    ] = None,
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
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Generate a video from a prompt, moved by learned motions.

    The path of each video is printed. Same seed, same pixels. Where there are several, those that fail are
    listed and the others made.
    """
    if prompt is not None and prompts is not None:
        raise UsageError("What to show is said twice.", "Leave out the prompt, or --prompts.")
    wanted = prompt if prompts is None else prompt_files.read_lines(prompts)
    if wanted is None:
        raise UsageError("What to show is not said.", 'Write a prompt: "a chicken walking in a city".')
    plan = generating.planned(wish, wanted, motions=motion or (), backbone=backbone)
    generating.carry_out(plan, as_json=json)
