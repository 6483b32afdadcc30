"""vmc backbones"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vmc_cli import backbones, terminal
from vmc_cli.backbones import Origin, Spec, cache
from vmc_cli.backbones.cache import sized
from vmc_cli.commands import checks, options
from vmc_cli.errors import NotFoundError, UsageError, VmcError
from vmc_cli.evaluation import judges
from vmc_cli.progress import Progress

command = typer.Typer(
    name="backbones",
    add_completion=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Model = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=options.backbone_names,
        help="The model's name, or the folder of one of your own.",
    ),
]


@command.callback()
def _list(context: typer.Context, json: options.Json = False) -> None:
    """List the models that motions can be learned with, and fetch them.

    A table on a terminal; names only, one a line, when piped.
    """
    if context.invoked_subcommand:
        return
    specs = backbones.BACKBONES.values()
    if json:
        terminal.emit_json([_described(spec) for spec in specs])
    elif terminal.interactive(sys.stdout):
        rows = [
            [spec.name, _place(spec), spec.summary, f"{spec.frames} of {spec.width}x{spec.height}"]
            for spec in specs
        ]
        terminal.emit_table(["NAME", "ON DISK", "WHAT IT IS", "FRAMES"], rows)
    else:
        for spec in specs:
            terminal.emit(spec.name)


@command.command("show")
def _show(name: Model, json: options.Json = False) -> None:
    """Show what is known of a model."""
    spec = backbones.find(name)
    if json:
        terminal.emit_json({**_described(spec), "vocabulary": _vocabulary(spec)})
        return
    commits = [f"{each.repository} {each.revision or 'newest'}" for each in spec.origins]
    facts = {
        "name": spec.name,
        "what it is": spec.summary,
        "family": spec.family,
        "frames": f"{spec.frames} of {spec.width}x{spec.height}, {spec.fps:g} a second",
        "licence": spec.licence,
        "memory at least": ", ".join(f"{what} {size:g} GiB" for what, size in spec.memory_gib.items()),
        "from": ", ".join(commits) or ", ".join(map(str, backbones.places(spec))),
        "on disk": _place(spec),
        "revision": _revision(spec),
        "learning": "; ".join(
            f"{method}: {', '.join(f'{key} {_worded(value)}' for key, value in changes.items())}"
            for method, changes in spec.recipes.items()
        )
        or "as the method says",
        "generating": ", ".join(
            f"{key.replace('_', ' ')} {_worded(value)}" for key, value in asdict(spec.course).items()
        ),
        "advice": spec.advice,
    }
    words = [(kind, ", ".join(known)) for kind, known in _vocabulary(spec).items()]
    terminal.emit_fields([*((key, value) for key, value in facts.items() if value), *words])


@command.command("pull")
def _pull(name: Model, json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Fetch the files of a model, once; interrupted, the same command goes on. Prints its name."""
    spec = backbones.find(name)
    if spec.origins:
        from vmc_cli.backbones import pulling

        pulling.pull(spec.name, spec.origins, Progress())
    else:
        terminal.say(f"{spec.name} needs nothing from a hub.")
    if json:
        terminal.emit_json({**_described(spec), "warnings": terminal.warnings})
    else:
        terminal.emit(name)


@command.command("convert")
def _convert(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FOLDER|OWNER/NAME",
            autocompletion=options.backbone_names,
            help="A model that is published as pickles; a folder in diffusers layout, or a part; or a model "
            "on the hub that judges pictures (--clip-model).",
        ),
    ],
    quiet: options.Quiet = False,
) -> None:
    """Convert pickled weights (.bin), which are never loaded, into safetensors. Prints the new files.

    It is done in a process of its own, without a network. The pickles of a model by its name are fetched for
    it, verified, and deleted afterwards; those in a FOLDER stay.
    """
    from vmc_cli.backbones import converting, pulling

    if name in backbones.BACKBONES or judges.is_on_hub(name):
        made = pulling.convert(name, _origins(name), Progress())
    else:
        folder = Path(name)
        if not folder.is_dir():
            raise NotFoundError(f"There is no model or folder {name}.", "Check the path.")
        checks.writable_folder(folder, "folder")
        made = converting.convert(folder, Progress())
    if not made:
        terminal.say(f"There is nothing to convert in {name}.")
    for path in made:
        terminal.emit_path(path)


@command.command("remove")
def _remove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|OWNER/NAME",
            autocompletion=options.backbone_names,
            help="The model's name, or that of one on the hub that judges pictures (--clip-model).",
        ),
    ],
    json: options.Json = False,
) -> None:
    """Delete the fetched files of a model. What other fetched models need of them stays."""
    from vmc_cli.backbones import pulling

    origins = _origins(name)
    if not origins:
        raise UsageError(f"The files of {name} were not fetched by vmc.", "Delete its folder yourself.")
    others = [each for each in backbones.BACKBONES.values() if each.name != name and backbones.is_ready(each)]
    needed = {origin for other in others for origin in other.origins}
    freed = pulling.remove([origin for origin in origins if origin not in needed])
    if json:
        terminal.emit_json({"name": name, "freed": freed})
    else:
        terminal.say(f"{sized(freed)} freed.")


def _origins(name: str) -> tuple[Origin, ...]:
    """What is fetched for a model of the table, a folder, or a judge by OWNER/NAME. Raises as `find`."""
    if name not in backbones.BACKBONES and judges.is_on_hub(name):
        return (judges.origin(name),)
    return backbones.find(name).origins


def _described(spec: Spec) -> dict[str, Any]:
    plain = ("name", "family", "summary", "advice", "frames", "height", "width", "fps", "licence")
    return {
        **{key: getattr(spec, key) for key in (*plain, "reconstruction_floor")},
        **asdict(spec.course),
        "memory_gib": dict(spec.memory_gib),
        "recipes": {method: dict(changes) for method, changes in spec.recipes.items()},
        "origins": [{"repository": each.repository, "revision": each.revision} for each in spec.origins],
        "folders": [str(folder) for folder in backbones.places(spec)],
        "ready": backbones.is_ready(spec),
        "bytes": sum(cache.bytes_here(each) for each in spec.origins),
    }


def _worded(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _place(spec: Spec) -> str:
    """What of the model is on this disk, in a few words."""
    if not spec.origins:
        return "yes"
    size = sum(cache.bytes_here(each) for each in spec.origins)
    if backbones.is_ready(spec):
        return sized(size)
    return f"{sized(size)}, not whole" if size else "no"


def _revision(spec: Spec) -> str:
    try:
        return backbones.revision(spec)[:12]
    except VmcError:
        return "known when its files are here"


def _vocabulary(spec: Spec) -> dict[str, list[str]]:
    """The words that a model of a small world knows, by kind; empty for one that knows most words."""
    if spec.name != "sprites":
        return {}
    from vmc_cli.backbones.sprites import world

    said = {
        "subjects": ((name, *others) for name, (_, *others) in world.SUBJECTS.items()),
        "sizes": world.SIZES.values(),
        "motions": (world.VERBS, *world.MOTIONS.values(), world.VAGUE),
        "speeds": world.SPEEDS.values(),
        "places": ((name, *phrases) for name, phrases in world.PLACES.items()),
        "styles": world.STYLES.values(),
    }
    return {kind: [word for words in each for word in words if word] for kind, each in said.items()}
