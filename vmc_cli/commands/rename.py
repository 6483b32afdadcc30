"""vmc rename"""

from __future__ import annotations

from typing import Annotated

import typer

from registry.store import Store
from vmc_cli import terminal
from vmc_cli.commands import options


def command(
    old: options.Motion, new: Annotated[str, typer.Argument(metavar="NEW", help="A name that is free.")]
) -> None:
    """Give a motion another name.

    The new name is printed.
    """
    Store.default().rename(old, new)
    terminal.emit(new)
