"""vmc remove"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from registry.store import Store
from vmc_cli import terminal
from vmc_cli.commands import options


def command(
    motions: Annotated[
        list[str],
        typer.Argument(metavar="NAME", autocompletion=options.motion_names, help="The motions' names."),
    ],
) -> None:
    """Remove motions.

    They stay in .trash, in the folder of motions, for a week. If one of the names is wrong, none is removed.
    """
    store = Store.default()
    # Those that are not there come first: removing one says what is wrong.
    for name in sorted(dict.fromkeys(motions), key=lambda name: os.path.lexists(store.path(name))):
        terminal.say(f"{name} is now {store.remove(name)}")
