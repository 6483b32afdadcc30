"""vmc blend"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from registry import names
from registry.card import Card
from registry.errors import Exists
from registry.store import Store
from vmc_cli import terminal, tokens
from vmc_cli.commands import casting, options
from vmc_cli.errors import IncompatibleError, UsageError


def command(
    motions: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME[:STRENGTH]",
            autocompletion=options.motion_names,
            help="Learned motions, each with its strength (1 unless told).",
        ),
    ],
    *,
    name: Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="What the blend is called.")],
    replace: options.Replace = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Store several learned motions as one.

    The blend does what the motions do together with these strengths. All else it has from the first: start
    noise, preview and prompt. The blend's name is printed.
    """
    parts = casting.with_strengths(motions, 1.0)
    if len(parts) < 2:
        raise UsageError("One motion alone is no blend.", "Name at least two: vmc blend A:0.5 B:0.5 --name C")
    if not any(strength for _, strength in parts):
        raise UsageError("All strengths are 0, so the blend would do nothing.", "Write one as NAME:0.5")
    store = Store.default()
    cards = [casting.card_of(each) for each, _ in parts]
    _require_alike(cards)
    if named := [card.name for card in cards if tokens.of(card)]:
        raise UsageError(
            f"The motion {named[0]} has a token, so it cannot be a part of a blend.",
            "Name the motions with --motion when you generate.",
        )
    if os.path.lexists(store.path(names.check(name))) and not replace:
        raise Exists(f"There is a motion {name} already.", "Choose another --name, or --replace it.")
    from vmc_cli.blending import blended
    from vmc_cli.delta import Delta

    with store.writing(name, replace) as slot:
        delta = blended([(Delta.load(store, each), strength) for each, strength in parts], name)
        path = delta.save(slot)
    if json:
        told = [{"name": each, "strength": strength} for each, strength in parts]
        terminal.emit_json(
            {"name": name, "file": str(path), "motions": told, "rank": delta.card.recipe["rank"]}
        )
    else:
        terminal.emit(name)


def _require_alike(cards: Sequence[Card]) -> None:
    """Raise IncompatibleError unless all were learned on the same model, at the same size."""
    first, *others = cards
    for card in others:
        for mine, its in (
            (first.backbone, card.backbone),
            (f"revision {first.revision[:12]}", f"revision {card.revision[:12]}"),
            (_size(first), _size(card)),
        ):
            if mine != its:
                raise IncompatibleError(
                    f"{first.name} and {card.name} were learned on {mine} and {its}.",
                    "Learn one of them again as the other was.",
                )


def _size(card: Card) -> str:
    return f"{card.frames} frames of {card.width}x{card.height}"
