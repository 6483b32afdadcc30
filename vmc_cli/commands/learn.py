"""vmc learn"""

from __future__ import annotations

from vmc_cli import backbones
from vmc_cli.commands import each as one_a_clip
from vmc_cli.commands import learning, options, planning
from vmc_cli.errors import UsageError


@options.spread
def command(
    clips: options.Clips,
    *,
    prompt: options.Prompt = None,
    each: options.Each = False,
    prompt_file: options.PromptFile = None,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    method: options.Method = "vmc",
    wish: planning.Wish,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn a motion from a clip.

    The motion's name is printed. Say with --prompt what happens in the clip. Where it happens is stripped
    from the prompt, so that the motion can be put anywhere else. With --each a motion is learned from each of
    many clips; those that fail are listed, and with --resume those that are there already are left alone.
    """
    if each or prompt_file:
        if not (each and prompt_file) or prompt is not None:
            raise UsageError(
                "One motion a clip takes a table of prompts.",
                "Write --each CLIPS... --prompt-file captions.csv, without --prompt.",
            )
        spec = backbones.find(backbone)
        jobs = one_a_clip.planned(wish, prompt_file, clips=clips, spec=spec, method=method)
        one_a_clip.carry_out(jobs, dry_run=dry_run, as_json=json)
        return
    if prompt is None:
        raise UsageError("What happens in the clip is not said.", 'Add --prompt "a seagull is walking", say.')
    plan = planning.planned(wish, prompt, clips=clips, spec=backbones.find(backbone), method=method)
    learning.carry_out(plan, dry_run=dry_run, as_json=json)
