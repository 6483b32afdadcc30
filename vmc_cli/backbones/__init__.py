"""The video models that motions are learned on: one row each. Nothing here imports torch before `load`."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from registry.card import Card
from vmc_cli.backbones import cache, folders, hashes, kernels
from vmc_cli.backbones.rows import ADAPTERS, ROWS
from vmc_cli.backbones.spec import Origin, Spec
from vmc_cli.errors import IncompatibleError, NotFoundError, UsageError
from vmc_cli.recipe import RESIZABLE, SUBJECT, Recipe

if TYPE_CHECKING:
    import torch

    from vmc_cli.backbones.base import Backbone

__all__ = [
    "BACKBONES",
    "Origin",
    "Spec",
    "blueprint",
    "find",
    "is_ready",
    "load",
    "places",
    "require_match",
    "require_size",
    "revision",
]

kernels.hide()  # before any module in here imports diffusers

BACKBONES: Mapping[str, Spec] = MappingProxyType({spec.name: spec for spec in ROWS})


def find(name: str) -> Spec:
    """The row called ``name``, or the model in the folder ``name``.

    A folder of Stable Diffusion may be followed by + and the motion adapter to use: its name or its folder.

    Raises:
        UsageError: there is neither such a row nor such an adapter.
        NotFoundError: there is no such folder.
        IncompatibleError: the folder does not hold a video model.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):  # False, not an error, where a name is too long
        return folders.own(path, _beside(path))
    checkpoint, plus, adapter = name.rpartition("+")
    if plus and os.path.isdir(path := Path(os.path.expanduser(checkpoint))):
        return folders.own(path, _adapter(adapter))
    if os.sep in name or name.startswith((".", "~")):
        raise NotFoundError(f"There is no folder {checkpoint or name}.", "Check the path.")
    raise UsageError(
        f"No backbone is called {name!r}.",
        f"Choose one of {', '.join(BACKBONES)}, or give the folder of a model.",
    )


def revision(spec: Spec) -> str:
    """What a motion records of the model it was learned on: a commit, or the sha256 of its weight files.

    Raises `NotFoundError` or `IncompatibleError` when the files tell and are not here, or not safetensors.
    """
    if len(spec.sources) == 1 and spec.origins and spec.origins[0].revision:
        return spec.origins[0].revision
    total = hashlib.sha256()
    for label, digest in _digests(spec):
        total.update(f"{label} {digest}\n".encode())
    return total.hexdigest()


def require_match(spec: Spec, card: Card) -> None:
    """Raises `IncompatibleError` unless the motion of ``card`` was learned on exactly this backbone."""
    both_own = folders.is_own(spec.name) and folders.is_own(card.backbone)  # a folder may be moved
    if card.backbone != spec.name and not both_own:
        raise IncompatibleError(
            f"The {card.kind} {card.name} was learned on the backbone {card.backbone}, not {spec.name}.",
            f"Use --backbone {card.backbone}.",
        )
    if card.revision != (ours := revision(spec)):
        raise IncompatibleError(
            f"The {card.kind} {card.name} was learned on revision {card.revision[:12]} of {card.backbone}; "
            f"this is {ours[:12]}.",
            "Learn it again with these files." if both_own else "Learn it again with this version of vmc.",
        )
    if card.kind != SUBJECT and card.recipe.get("adapter") not in RESIZABLE:
        require_size(spec, card)


def require_size(spec: Spec, card: Card, hint: str = "Learn it again.") -> None:
    """Raises `IncompatibleError` unless the motion of ``card`` has the frames and the size of ``spec``."""
    if (card.frames, card.height, card.width) != (spec.frames, spec.height, spec.width):
        raise IncompatibleError(
            f"The motion {card.name} has {card.frames} frames of {card.width}x{card.height}; "
            f"{spec.name} makes {spec.frames} of {spec.width}x{spec.height}.",
            hint,
        )


def require_acting(spec: Spec, recipe: Recipe) -> None:
    """Raises `IncompatibleError` where ``recipe`` wants actors and the backbone has none."""
    if recipe.actors and spec.acted is None:
        raise IncompatibleError(
            f"The method {recipe.method} needs things that {spec.name} knows, and none came with it.",
            "Use --method vmc, or --backbone sprites.",
        )


def load(spec: Spec, device: str | None = None) -> Backbone:
    """The model itself, frozen, on ``device`` (by default the best there is). Opens no socket.

    Raises:
        NotFoundError: its files are not here.
        IncompatibleError: they are not such a model, or not all of it.
    """
    _require_files(spec)
    family = import_module(f"vmc_cli.backbones.{spec.family}")
    backbone: Backbone = family.load(places(spec), spec, revision(spec), device)
    return backbone


def blueprint(spec: Spec, device: torch.device, dtype: torch.dtype) -> Backbone:
    """The model as it would be on ``device`` with its network in ``dtype``, but without weights and text.

    Its tensors are on the meta device: they have shapes and no numbers. It needs no weight files, and for
    models of a hub no files at all.

    Raises `IncompatibleError` when a configuration is not that of such a model.
    """
    family = import_module(f"vmc_cli.backbones.{spec.family}")
    backbone: Backbone = family.blueprint(spec, dtype)
    backbone.attend_as_on(device)
    return backbone


def config(source: Origin | Path, part: str) -> dict[str, Any]:
    """The configuration of a part: as it lies in a folder, or as it was published."""
    if isinstance(source, Origin):
        return dict(source.configs[part])
    return folders.read_json(source / part / "config.json")


def weight_shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all weights of the network, from the heads of its files: nothing is loaded.

    Raises `NotFoundError` when its files are not here, `IncompatibleError` when they cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    _require_files(spec)
    found: dict[str, tuple[int, ...]] = {}
    for file in folders.chosen(places(spec)[0] / "unet"):
        try:
            with safe_open(file, framework="numpy") as opened:
                found |= {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise IncompatibleError(f"{file} cannot be read: {error}.", "Get it once more.") from error
    return found


def text_width(spec: Spec) -> int:
    """How many numbers stand for a piece of a word in its text encoder; nothing is loaded.

    Raises `NotFoundError` when its files are not here, `IncompatibleError` when they do not tell.
    """
    _require_files(spec)
    folder = places(spec)[0] / "text_encoder"
    width = folders.read_json(folder / "config.json").get("hidden_size")
    if not isinstance(width, int):
        raise IncompatibleError(f"{folder} does not say how wide its text encoder is.")
    return width


def places(spec: Spec) -> list[Path]:
    """The folders that the model is loaded from, there or not."""
    return [cache.folder(source) if isinstance(source, Origin) else source for source in spec.sources]


def is_ready(spec: Spec) -> bool:
    """Whether all files are on this disk."""
    return all(
        cache.is_whole(source) if isinstance(source, Origin) else source.is_dir() for source in spec.sources
    )


def _require_files(spec: Spec) -> None:
    """Raises `NotFoundError` unless all files are on this disk."""
    if not is_ready(spec):
        raise NotFoundError(
            f"The files of the backbone {spec.name} are not here.",
            f"Fetch them once: vmc backbones pull {shlex.quote(_typed(spec))}"
            if spec.origins
            else "Check the path, or install vmc again.",
        )


def _typed(spec: Spec) -> str:
    """What `find` finds ``spec`` by, from any folder."""
    if not folders.is_own(spec.name):
        return spec.name
    adapters = [name for name, origin in ADAPTERS.items() if origin in spec.sources]
    return "+".join([str(places(spec)[0].resolve()), *adapters])


def _digests(spec: Spec) -> list[tuple[str, str]]:
    """Each weight file with its sha256; of fetched ones it was taken when they were fetched."""
    _require_files(spec)
    found = []
    for position, (source, folder) in enumerate(zip(spec.sources, places(spec), strict=True)):
        known = cache.sha256s(source) if isinstance(source, Origin) else {}
        for label, path in folders.weights(folder, adapter=position > 0):
            digest = known.get(path.relative_to(folder).as_posix()) or hashes.sha256(path)
            found.append((label, digest))
    return sorted(found)


def _beside(checkpoint: Path) -> Origin | Path:
    """The motion adapter for a Stable Diffusion when none is named."""
    inside = checkpoint / "motion_adapter"
    return inside if inside.is_dir() else ADAPTERS["v1-5-2"]


def _adapter(name: str) -> Origin | Path:
    if name in ADAPTERS:
        return ADAPTERS[name]
    if (folder := Path(os.path.expanduser(name))).is_dir():
        return folder
    raise UsageError(
        f"No motion adapter is called {name!r}.",
        f"Choose one of {', '.join(ADAPTERS)}, or give the folder of one.",
    )
