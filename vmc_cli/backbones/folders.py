"""A folder with a model in diffusers layout: what kind it is, and which of its files are its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmc_cli import terminal
from vmc_cli.backbones.spec import MOTION_MODULES, NOTHING, Origin, Spec
from vmc_cli.errors import IncompatibleError, NotFoundError

WEIGHED = ("text_encoder", "unet", "vae")
"""The parts that have weights."""

ABOUT = "vmc.json"
"""In a folder of the user's own: frames, width, height and fps, which a network's files do not say."""

_OWN = "./"
_LARGEST_JSON = 1 << 20
_SHARD = r"(?:-\d{5}-of-\d{5})?"
WEIGHTS = re.compile(rf"(?:diffusion_pytorch_model|model){_SHARD}(\.fp16)?{_SHARD}\.safetensors")
"""Names of weight files; the group is there in those of half precision."""

PICKLES = re.compile(
    rf"(?:diffusion_pytorch_model|pytorch_model|model){_SHARD}(?:\.fp16)?{_SHARD}\.(?:bin|ckpt|pth?)"
)
"""Names of files with pickled weights."""

_FAMILIES = {"UNet3DConditionModel": "unet3d", "UNet2DConditionModel": "animatediff"}
_PIXELS = {
    "unet3d": 256,
    "animatediff": 512,
}  # of the published models, which both have 16 frames at 8 a second
_LIMITS = {"frames": (2, 1024), "width": (8, 8192), "height": (8, 8192), "fps": (0.1, 1000)}


def is_own(name: str) -> bool:
    """Whether a backbone of this name is a folder of the user's own."""
    return name.startswith(_OWN)


def own(folder: Path, adapter: Origin | Path) -> Spec:
    """The model in a folder of the user's own; ``adapter`` is used if it is a Stable Diffusion.

    The name is that of the folder, without where it lies: it goes into motions, which are shared. Says so
    when frames and size are a guess.

    Raises:
        IncompatibleError: it does not hold a video model, or `ABOUT` in it makes no sense.
    """
    config = read_json(folder / "unet" / "config.json")
    family = _FAMILIES.get(str(config.get("_class_name")))
    if family is None:
        raise IncompatibleError(
            f"{folder} holds no model that can be used here: its network is {config.get('_class_name')!r}.",
            f"It must be one of {', '.join(_FAMILIES)}.",
        )
    height, width = _size(config.get("sample_size"), _PIXELS[family])
    numbers: dict[str, float] = {"frames": 16, "width": width, "height": height, "fps": 8.0}
    if (folder / ABOUT).is_file():
        numbers |= _checked(folder / ABOUT)
    else:
        terminal.say(
            f"{folder.name} is taken to make 16 frames of {width}x{height}, 8 a second; "
            f"{ABOUT} in it can say otherwise (frames, width, height, fps)."
        )
    return Spec(
        name=_OWN + folder.resolve().name,
        family=family,
        sources=(folder,) if family == "unet3d" else (folder, adapter),
        frames=int(numbers["frames"]),
        height=int(numbers["height"]),
        width=int(numbers["width"]),
        fps=float(numbers["fps"]),
        recipes=MOTION_MODULES if family == "animatediff" else NOTHING,
        licence="your own to know",
        summary=f"the {config['_class_name']} in {folder}",
    )


def weights(folder: Path, adapter: bool = False) -> list[tuple[str, Path]]:
    """The weight files of a model (or a motion adapter), each with the path that it is known by.

    Where both are there, full precision goes before half.

    Raises:
        NotFoundError: there are none.
        IncompatibleError: there are, but only as pickles.
    """
    parts = {"motion_adapter": folder} if adapter else {part: folder / part for part in WEIGHED}
    found = [(f"{part}/{path.name}", path) for part, place in parts.items() for path in chosen(place)]
    if not found:
        raise NotFoundError(f"There are no weights in {folder}.", "Check the path, or install vmc again.")
    return found


def chosen(part: Path) -> list[Path]:
    """The safetensors files that hold the weights of one part; nothing where there are none at all.

    Raises `IncompatibleError` where there are only pickles.
    """
    matches = [(match, path) for path in _listed(part) if (match := WEIGHTS.fullmatch(path.name))]
    whole = [path for match, path in matches if not match[1]]
    if not matches and pickles(part):
        raise IncompatibleError(
            f"The weights in {part} are pickles, which can run code when they are opened.",
            f"Convert them once: vmc backbones convert {part if part.name not in WEIGHED else part.parent}",
        )
    return whole or [path for _, path in matches]


def variant(part: Path) -> str | None:
    """What diffusers calls the chosen files: "fp16", or None for those without such a word in their names."""
    return "fp16" if any(".fp16" in path.name for path in chosen(part)) else None


def pickles(part: Path) -> list[Path]:
    """The files with pickled weights of one part."""
    return [path for path in _listed(part) if PICKLES.fullmatch(path.name)]


def read_json(path: Path) -> dict[str, Any]:
    """An object from a small file. Raises IncompatibleError without one."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST_JSON))
    except FileNotFoundError:
        raise IncompatibleError(
            f"There is no model in diffusers layout here: {path} is missing.",
            "The folder must hold unet, vae, text_encoder, tokenizer and scheduler.",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise IncompatibleError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise IncompatibleError(f"{path} does not hold a JSON object.")
    return found


def _listed(part: Path) -> Sequence[Path]:
    return sorted(path for path in part.iterdir() if path.is_file()) if part.is_dir() else []


def _size(latents: object, default: int) -> tuple[int, int]:
    """Height and width in pixels for a network's sample_size: latents are smaller by 8 in these families."""
    sides = latents if isinstance(latents, list) and len(latents) == 2 else [latents, latents]
    height, width = (side if type(side) is int and 1 <= side <= 1024 else None for side in sides)
    return (8 * height, 8 * width) if height and width else (default, default)


def _checked(path: Path) -> dict[str, float]:
    found = read_json(path)
    for key, value in found.items():
        if key not in _LIMITS:
            raise IncompatibleError(
                f"{path} says {key}, which means nothing here.", f"It can say {', '.join(_LIMITS)}."
            )
        low, high = _LIMITS[key]
        whole = key == "fps" or isinstance(value, int)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not whole
            or not low <= value <= high
        ):
            raise IncompatibleError(f"{path} says {key} {value!r}.", f"It must be {low:g} to {high:g}.")
    return found
