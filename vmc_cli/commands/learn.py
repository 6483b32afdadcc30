"""vmc learn"""

from __future__ import annotations

from vmc_cli.commands import learning, options, planning


@options.spread
def command(
    clips: options.Clips,
    *,
    prompt: options.Prompt,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    method: options.Method = "vmc",
    wish: planning.Wish,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn a motion from a clip.

    The motion's name is printed. Say with --prompt what happens in the clip. Where it happens is stripped
    from the prompt, so that the motion can be put anywhere else.
    """
    plan = planning.planned(wish, prompt, clips=clips, backbone=backbone, method=method)
    learning.carry_out(plan, dry_run=dry_run, as_json=json)
