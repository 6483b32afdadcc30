"""vmc learn"""

from __future__ import annotations

from vmc_cli.commands import learning, options


@options.spread
def command(
    wish: learning.Wish,
    *,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Learn a motion from a clip.

    The motion's name is printed. Say with --prompt what happens in the clip. Where it happens is stripped
    from the prompt, so that the motion can be put anywhere else.
    """
    learning.carry_out(learning.planned(wish), dry_run=dry_run, as_json=json)
