"""vmc learn"""

from __future__ import annotations

from typing import Annotated

import typer

from registry.store import Store
from vmc_cli import backbones, terminal
from vmc_cli.commands import each as one_a_clip
from vmc_cli.commands import learning, learning_options, options, planning
from vmc_cli.errors import UsageError
from vmc_cli.recipe import SUBJECT

Subject = Annotated[
    bool,
    typer.Option(
        "--subject", help="Learn what is to be seen, not how it moves: each CLIP is a picture of it."
    ),
]
WithMotion = Annotated[
    str | None,
    typer.Option(
        "--with-motion",
        metavar="NAME",
        autocompletion=options.motion_names,
        help="For a subject: a motion that acts meanwhile, so that both fit together.",
    ),
]


@options.spread
def command(
    clips: learning_options.Clips,
    *,
    prompt: learning_options.Prompt = None,
    each: learning_options.Each = False,
    prompt_file: learning_options.PromptFile = None,
    backbone: options.Backbone = options.DEFAULT_BACKBONE,
    method: learning_options.Method = None,
    subject: Subject = False,
    with_motion: WithMotion = None,
    wish: planning.Wish,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn a motion from a clip, or a subject from pictures.

    The motion's name is printed. Say with --prompt what happens in the clip. Where it happens is stripped
    from the prompt, so that the motion can be put anywhere else. With --each a motion is learned from each of
    many clips; those that fail are listed, and with --resume those that are there already are left alone.
    """
    store = Store.default()
    if store.is_open_to_all():
        terminal.warn(f"Anybody on this machine may change what is in {store.root}; see vmc doctor.")
    if each or prompt_file:
        if not (each and prompt_file) or prompt is not None:
            raise UsageError(
                "One motion a clip takes a table of prompts.",
                "Write --each CLIPS... --prompt-file captions.csv, without --prompt.",
            )
        if subject or with_motion:
            raise UsageError("A subject is learned from all pictures together.", "Leave out --each.")
        spec = backbones.find(backbone)
        jobs = one_a_clip.planned(wish, prompt_file, clips=clips, spec=spec, method=method)
        one_a_clip.carry_out(jobs, dry_run=dry_run, as_json=json)
        return
    if prompt is None:
        raise UsageError("What happens in the clip is not said.", 'Add --prompt "a seagull is walking", say.')
    plan = planning.planned(
        wish,
        prompt,
        clips=clips,
        spec=backbones.find(backbone),
        method=method or (SUBJECT if subject else None),
        with_motion=with_motion,
    )
    if subject and plan.recipe.learns != SUBJECT:
        raise UsageError(f"The method {plan.recipe.method} learns no subjects.", "Leave out --method.")
    learning.carry_out(plan, dry_run=dry_run, as_json=json)
