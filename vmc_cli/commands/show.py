"""vmc show"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from registry.card import Card
from registry.errors import Damaged
from registry.store import Store
from vmc_cli import terminal
from vmc_cli.commands import options
from vmc_cli.errors import ExistsError
from vmc_cli.recipe import SUBJECT


def command(
    name: options.Motion,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview", metavar="FILE", help="Write the learned clips, small, to a .gif, .mp4 or .webp."
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Show what is known of a motion or subject.

    Its card: what it was learned from, with, and how.
    """
    store = Store.default()
    card = store.card(name)
    if preview is not None:
        _write_preview(store, name, preview, force)
    if json:
        terminal.emit_json({**asdict(card), "file": str(store.path(name))})
        return
    terminal.emit_fields(_fields(card, store.path(name)))


def _fields(card: Card, path: Path) -> list[tuple[str, object]]:
    recipe = ", ".join(f"{key} {value}" for key, value in card.recipe.items())
    known: list[tuple[str, object]] = [
        ("name", card.name),
        ("kind", card.kind),
        ("prompt", card.prompt),
        ("learned as", card.prompt_used),
        ("pictures" if card.kind == SUBJECT else "clips", ", ".join(source.name for source in card.sources)),
        ("backbone", f"{card.backbone} (revision {card.revision[:12]})"),
        ("frames", f"{card.frames} of {card.width}x{card.height}, {card.fps:g} a second"),
        ("method", card.method),
        ("recipe", recipe),
        ("seed", card.seed),
        ("learning", f"{card.steps} steps in {card.seconds:.0f} s, last loss {card.loss:.4f}"),
        ("learned on", card.created),
        ("with", ", ".join(f"{package} {version}" for package, version in card.versions.items())),
        ("file", path),
    ]
    return known + list(card.extra.items())


def _write_preview(store: Store, name: str, path: Path, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise ExistsError(f"{path} exists already.", "Choose another file, or overwrite it with --force.")
    card, tensors = store.load(name)
    raw = tensors.get("preview")
    if raw is None or raw.dtype != "U8" or len(raw.shape) != 4 or raw.shape[-1] != 3:
        raise Damaged(f"{store.path(name)} holds no preview.", "Learn the motion again.")
    import numpy as np

    from vmc_cli import clip

    frames = np.frombuffer(raw.data, dtype=np.uint8).reshape(raw.shape)
    written = clip.write(clip.Clip(frames, card.fps), path, metadata={"motion": name}, replace=force)
    terminal.say(f"The learned clip is {written}")
