"""vmc reverse"""

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
    """Learn a motion from a clip played backward.

    As vmc learn, on the frames in reverse order. Describe the motion as it is then: "a seagull is walking
    backward".
    """
    learning.carry_out(learning.planned(wish, backward=True), dry_run=dry_run, as_json=json)
