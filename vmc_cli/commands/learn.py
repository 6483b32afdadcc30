"""vmc learn"""

from __future__ import annotations

from vmc_cli.commands import learning, options


def command(
    clips: options.Clips,
    *,
    prompt: options.Prompt,
    name: options.Name = None,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    method: options.Method = "vmc",
    kind: options.Kind = None,
    token: options.Token = None,
    regularize: options.Regularize = None,
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
