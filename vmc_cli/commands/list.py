"""vmc list"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from registry.errors import Damaged
from registry.store import Entry, Store
from vmc_cli import terminal
from vmc_cli.commands import options
from vmc_cli.errors import UsageError

_ORDERS: Mapping[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.name,
    "newest": lambda entry: (_inverted(entry.card.created if entry.card else ""), entry.name),
    "size": lambda entry: (-entry.size, entry.name),
    "backbone": lambda entry: (entry.card.backbone if entry.card else "", entry.name),
}


def command(
    json: options.Json = False,
    sort: Annotated[str, typer.Option("--sort", metavar="KEY", help=f"By {', '.join(_ORDERS)}.")] = "name",
) -> None:
    """List the motions and subjects that have been learned.

    A table on a terminal; names only, one a line, when piped. Files in the folder that are no motions are
    listed with what is wrong with them.
    """
    if sort not in _ORDERS:
        raise UsageError(f"Motions cannot be sorted by {sort!r}.", f"Choose one of {', '.join(_ORDERS)}.")
    store = Store.default()
    entries = sorted(store.entries(), key=_ORDERS[sort])
    if json:
        terminal.emit_json([_described(entry) for entry in entries])
    elif terminal.interactive(sys.stdout):
        _show(entries, store)
    else:
        for entry in entries:
            if entry.card:
                terminal.emit(entry.name)
            else:
                hint = f". {entry.hint}" if entry.hint else ""
                terminal.warn(f"{entry.name}: {entry.problem}{hint}")


def _show(entries: list[Entry], store: Store) -> None:
    if not entries:
        terminal.say(f'No motion has been learned yet ({store.root}). Try: vmc learn CLIP --prompt "..."')
        return
    rows = []
    for entry in entries:
        card = entry.card
        size = f"{entry.size / 1e6:.1f} MB"
        if card is None:
            damaged = "damaged: " if entry.code == Damaged.code else ""
            rows.append([entry.name, f"{damaged}{entry.problem}", "", "", size, ""])
        else:
            rows.append([entry.name, card.prompt_used, card.kind, card.backbone, size, card.created[:10]])
    terminal.emit_table(["NAME", "PROMPT", "KIND", "BACKBONE", "SIZE", "LEARNED"], rows)


def _described(entry: Entry) -> dict[str, Any]:
    if entry.card is None:
        told = {"problem": entry.problem, "hint": entry.hint, "code": entry.code}
        return {"name": entry.name, **told, "bytes": entry.size}
    return {**asdict(entry.card), "name": entry.name, "problem": "", "bytes": entry.size}


def _inverted(text: str) -> tuple[int, ...]:
    """Sorts texts backward."""
    return tuple(-ord(character) for character in text)
