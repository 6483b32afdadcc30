"""Options that several commands share, each declared once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from inspect import Signature, signature
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from vmc_cli import terminal

DEFAULT_BACKBONE = "sprites"

MEMORY = ("auto", "low", "medium", "high")
"""How much memory may be spent; `costs.LEVELS` says on what."""

ATTENTION = ("auto", "xformers", "sdpa")
"""What attention is computed by: `attention.chosen`."""


def _stay_quiet(wanted: bool) -> bool:
    if wanted:
        terminal.be_quiet()
    return wanted


def motion_names() -> list[str]:
    """For shell completion."""
    from registry.store import Store

    return [entry.name for entry in Store.default().entries() if entry.card]


def backbone_names() -> list[str]:
    """For shell completion."""
    from vmc_cli.backbones import BACKBONES

    return list(BACKBONES)


def one_of(known: Sequence[str], option: str, metavar: str, told: str) -> Any:
    """An option whose value is one of ``known``."""
    return typer.Option(option, metavar=metavar, autocompletion=lambda: list(known), help=told)


def memory(levels: Sequence[str], more: str = "") -> Any:
    """The option of `costs.LEVELS`, with what else is to be told of them."""
    told = f"How much memory to spend: {', '.join(levels)}. Less is slower{more}."
    return one_of(levels, "--memory", "LEVEL", told)


Json = Annotated[
    bool,
    typer.Option(
        "--json", callback=_stay_quiet, help="Print JSON, and errors as JSON; nothing else is said."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_stay_quiet, help="Say nothing but errors.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="N", help="Same seed, same result.")
]
Name = Annotated[
    str | None,
    typer.Option("--name", "-n", metavar="NAME", help="The motion's name.  [default: made from the prompt]"),
]
Backbone = Annotated[
    str,
    typer.Option(
        "--backbone",
        envvar="VMC_BACKBONE",
        show_envvar=True,
        metavar="NAME",
        autocompletion=backbone_names,
        help="The model to learn with; `vmc backbones` lists them.",
    ),
]
MotionsBackbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        metavar="NAME",
        autocompletion=backbone_names,
        help="The model to use.  [default: the one that the motion was learned with]",
    ),
]
ClipModel = Annotated[
    str | None,
    typer.Option(
        "--clip-model",
        envvar="VMC_CLIP_MODEL",
        show_envvar=True,
        metavar="FOLDER|OWNER/NAME",
        help="A CLIP model, which judges looks: a folder in transformers layout, or a name on the hub "
        "(openai/clip-vit-large-patch14), fetched once.",
    ),
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Replace the motion of that name; the old one stays in .trash for a week."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be done, and what it takes; load and write nothing."),
]
Memory = Annotated[str, memory(MEMORY)]
Attention = Annotated[
    str,
    one_of(
        ATTENTION,
        "--attention",
        "NAME",
        f"What computes attention: {', '.join(ATTENTION)} (PyTorch's own).",
    ),
]

Motion = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=motion_names, help="The motion's name.")
]
Sheet = Annotated[
    Path | None,
    typer.Option("--sheet", metavar="FILE.png", help="Also write a picture of all frames, side by side."),
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite what is in the way.")]


def default_backbone() -> str:
    """The model to use where neither an option nor a motion says."""
    return os.environ.get("VMC_BACKBONE") or DEFAULT_BACKBONE


def is_learned(text: str) -> bool:
    """Whether there is a motion of that name."""
    from registry.errors import BadName
    from registry.store import Store

    try:
        return os.path.lexists(Store.default().path(text))
    except BadName:
        return False


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as Typer wants it: in place of its parameter `wish`, a dataclass, stand that one's fields."""
    hints = get_type_hints(command, include_extras=True)
    wish = hints.pop("wish")
    fields = get_type_hints(wish, include_extras=True)
    hints |= fields
    inside = signature(wish).parameters.values()
    around = [inside if own.name == "wish" else [own] for own in signature(command).parameters.values()]

    def called(**given: Any) -> None:
        command(wish=wish(**{name: given.pop(name) for name in fields}), **given)

    called.__doc__, called.__annotations__ = command.__doc__, hints
    called.__signature__ = Signature(  # type: ignore[attr-defined]
        [each.replace(kind=each.KEYWORD_ONLY, annotation=hints[each.name]) for each in chain(*around)]
    )
    return called
