"""The video models that motions are learned on: one row each. Nothing here imports torch before `load`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from registry.card import Card
from vmc_cli.errors import IncompatibleError, NotFoundError, UsageError
from vmc_cli.recipes import RESIZABLE

if TYPE_CHECKING:
    from vmc_cli.backbones.base import Backbone


@dataclass(frozen=True)
class Spec:
    """What is known of a checkpoint without opening it.

    ``family`` names the module in this package that loads it. ``folder`` holds the files in diffusers layout
    when they came with the package or are the user's own; ``repository`` and ``revision`` say where they come
    from otherwise. Sizes in pixels, ``fps`` in frames per second. ``recipes`` holds, by method, the numbers
    that suit this model better than the paper's. ``reconstruction_floor`` (dB) is what
    `motions.reconstruction` gives for clips that it can draw.
    """

    name: str
    family: str
    repository: str
    revision: str | None
    frames: int
    height: int
    width: int
    fps: float
    licence: str
    summary: str
    advice: str = ""
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reconstruction_floor: float | None = None
    folder: Path | None = None


BACKBONES: Mapping[str, Spec] = MappingProxyType(
    {
        "sprites": Spec(
            name="sprites",
            family="unet3d",
            repository="",
            revision=None,
            frames=8,
            height=64,
            width=64,
            fps=8.0,
            licence="Apache-2.0",
            summary="small sprites on painted places, made for learning motions on a laptop; comes with vmc",
            advice="sprites draws emoji-like things only: for real footage choose another backbone.",
            recipes=MappingProxyType({"vmc": {"learning_rate": 5e-4, "rank": 16}}),
            reconstruction_floor=23.7,  # its own world lies at 24 to 28 dB, real footage mostly at 16 to 23
            folder=Path(__file__).parent / "sprites" / "weights",
        ),
    }
)


def find(name: str) -> Spec:
    """The row called ``name``. Raises `UsageError` when there is none."""
    try:
        return BACKBONES[name]
    except KeyError:
        known = ", ".join(BACKBONES)
        raise UsageError(f"No backbone is called {name!r}.", f"Choose one of {known}.") from None


def revision(spec: Spec) -> str:
    """What a motion records of the model it was learned on: a commit, or the sha256 of its weight files."""
    return spec.revision or _digest(_folder(spec))


def require_match(spec: Spec, card: Card) -> None:
    """Raises `IncompatibleError` unless the motion of ``card`` was learned on exactly this backbone."""
    if card.backbone != spec.name:
        raise IncompatibleError(
            f"The motion {card.name} was learned on the backbone {card.backbone}, not {spec.name}.",
            f"Use --backbone {card.backbone}.",
        )
    if card.revision != (ours := revision(spec)):
        raise IncompatibleError(
            f"The motion {card.name} was learned on revision {card.revision[:12]} of {spec.name}; "
            f"this is {ours[:12]}.",
            "Learn it again with this version of vmc.",
        )
    fixed = card.recipe.get("adapter") not in RESIZABLE
    if fixed and (card.frames, card.height, card.width) != (spec.frames, spec.height, spec.width):
        raise IncompatibleError(
            f"The motion {card.name} has {card.frames} frames of {card.width}x{card.height}; "
            f"{spec.name} makes {spec.frames} of {spec.width}x{spec.height}."
        )


def load(spec: Spec, device: str | None = None) -> Backbone:
    """The model itself, frozen, on ``device`` (by default the best there is).

    Raises:
        NotFoundError: its files are not here.
        IncompatibleError: they are not such a model, or not all of it.
    """
    folder = _folder(spec)
    family = import_module(f"vmc_cli.backbones.{spec.family}")
    backbone: Backbone = family.load(folder, spec, revision(spec), device)
    return backbone


def weight_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights of the network, from the heads of its files: nothing is loaded.

    Raises `NotFoundError` when its files are not here.
    """
    from safetensors import safe_open

    found: dict[str, tuple[int, ...]] = {}
    for file in sorted(_folder(spec).glob("unet/*.safetensors")):
        with safe_open(file, framework="numpy") as opened:
            found |= {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
    return found


def _folder(spec: Spec) -> Path:
    if spec.folder is None or not spec.folder.is_dir():
        raise NotFoundError(f"The files of the backbone {spec.name} are not here.", "Install vmc again.")
    return spec.folder


@lru_cache
def _digest(folder: Path) -> str:
    """sha256 over the names and sha256 of the weight files, those of text encoder and codec included."""
    total = hashlib.sha256()
    files = sorted(folder.glob("*/*.safetensors"))
    if not files:
        raise NotFoundError(f"There are no weights in {folder}.", "Install vmc again.")
    for file in files:
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                digest.update(chunk)
        total.update(f"{file.relative_to(folder).as_posix()} {digest.hexdigest()}\n".encode())
    return total.hexdigest()
