"""vmc learn"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vmc_cli.commands import learning, options

Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TEXT",
        help='What stands for the motion in prompts: "V*" in "a person doing the V*".',
    ),
]
Regularize = Annotated[
    Path | None,
    typer.Option(
        "--regularize",
        metavar="FOLDER",
        help="Clips of other motions, learned from in turn so that nothing is forgotten; captions in "
        "captions.json, or as the files are named.",
    ),
]
TrainToken = Annotated[
    bool,
    typer.Option("--train-token", help="Learn what the token's word means, too: more exact, copies more."),
]


def command(
    clips: options.Clips,
    *,
    prompt: options.Prompt,
    name: options.Name = None,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    method: options.Method = "vmc",
    kind: options.Kind = None,
    token: Token = None,
    train_token: TrainToken = False,
    regularize: Regularize = None,
    steps: options.Steps = None,
    learning_rate: options.LearningRate = None,
    rank: options.Rank = None,
    loss: options.Loss = None,
    stride: options.Stride = None,
    trim: options.Trim = None,
    sample_fps: options.SampleFps = None,
    keep_prompt: options.KeepPrompt = False,
    seed: options.Seed = 0,
    replace: options.Replace = False,
    checkpoint_every: options.CheckpointEvery = None,
    resume: options.Resume = False,
    sheet: options.Sheet = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn a motion from a clip.

    The motion's name is printed. Say with --prompt what happens in the clip. Where it happens is stripped
    from the prompt, so that the motion can be put anywhere else.
    """
    wish = learning.Wish(
        clips=clips,
        prompt=prompt,
        name=name,
        backbone=backbone,
        method=method,
        kind=kind,
        token=token,
        train_token=train_token,
        regularize=regularize,
        steps=steps,
        learning_rate=learning_rate,
        rank=rank,
        loss=loss,
        stride=stride,
        trim=trim,
        sample_fps=sample_fps,
        keep_prompt=keep_prompt,
        seed=seed,
        replace=replace,
        checkpoint_every=checkpoint_every,
        resume=resume,
        sheet=sheet,
    )
    learning.carry_out(wish, dry_run=dry_run, as_json=json)
