"""vmc backbones"""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Annotated, Any

import typer

from vmc_cli import backbones, terminal
from vmc_cli.backbones import Spec
from vmc_cli.commands import options
from vmc_cli.errors import NotFoundError

command = typer.Typer(
    name="backbones",
    add_completion=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@command.callback()
def _list(context: typer.Context, json: options.Json = False) -> None:
    """List the models that motions can be learned with.

    A table on a terminal; names only, one a line, when piped.
    """
    if context.invoked_subcommand:
        return
    specs = backbones.BACKBONES.values()
    if json:
        terminal.emit_json([_described(spec) for spec in specs])
    elif terminal.interactive(sys.stdout):
        rows = [
            [spec.name, spec.summary, f"{spec.frames} of {spec.width}x{spec.height}", spec.licence]
            for spec in specs
        ]
        terminal.emit_table(["NAME", "WHAT IT IS", "FRAMES", "LICENCE"], rows)
    else:
        for spec in specs:
            terminal.emit(spec.name)


@command.command("show")
def _show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", autocompletion=options.backbone_names, help="The model's name.")
    ],
    json: options.Json = False,
) -> None:
    """Show what is known of a model."""
    spec = backbones.find(name)
    if json:
        terminal.emit_json({**_described(spec), "vocabulary": _vocabulary(spec)})
        return
    facts = {
        "name": spec.name,
        "what it is": spec.summary,
        "family": spec.family,
        "frames": f"{spec.frames} of {spec.width}x{spec.height}, {spec.fps:g} a second",
        "licence": spec.licence,
        "from": spec.repository or "comes with vmc",
        "revision": _revision(spec),
        "learning": "; ".join(
            f"{method}: {', '.join(f'{key} {value}' for key, value in changes.items())}"
            for method, changes in spec.recipes.items()
        )
        or "as the method says",
        "advice": spec.advice,
    }
    words = [(kind, ", ".join(known)) for kind, known in _vocabulary(spec).items()]
    terminal.emit_fields([*((key, value) for key, value in facts.items() if value), *words])


def _described(spec: Spec) -> dict[str, Any]:
    plain = {field.name: getattr(spec, field.name) for field in fields(spec)}
    recipes = {method: dict(changes) for method, changes in spec.recipes.items()}
    return plain | {"recipes": recipes, "folder": None if spec.folder is None else str(spec.folder)}


def _revision(spec: Spec) -> str:
    try:
        return backbones.revision(spec)[:12]
    except NotFoundError:
        return "its files are not here"


def _vocabulary(spec: Spec) -> dict[str, list[str]]:
    """The words that a model of a small world knows, by kind; empty for one that knows most words."""
    if spec.name != "sprites":
        return {}
    from vmc_cli.backbones.sprites import world

    kinds = {"subjects": world.SUBJECTS, "places": world.PLACES, "styles": world.STYLES}
    motions = [*world.VERBS, *(words[0] for words in world.MOTIONS.values())]
    return {**{kind: list(words) for kind, words in kinds.items()}, "motions": motions}
