"""Models that judge pictures: a folder of the user's own, or a name on the hub, fetched once.

An existing folder wins; otherwise OWNER/NAME is a repository of the hub. Nothing here imports torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from registry import home
from vmc_cli.backbones import cache, folders
from vmc_cli.backbones.spec import Origin
from vmc_cli.errors import IncompatibleError, NetworkError, NotFoundError
from vmc_cli.progress import Progress

CONFIG = "config.json"

_SHELF = "judges"
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(rf"(?!.*(?:--|\.\.)){_WORD}/{_WORD}")


def is_on_hub(text: str) -> bool:
    """Whether ``text`` is no folder here, but of the form OWNER/NAME."""
    return not os.path.lexists(os.path.expanduser(text)) and bool(_NAME.fullmatch(text))


def check(text: str) -> None:
    """Raise NotFoundError unless ``text`` is a folder or may be a name on the hub, which is not asked."""
    if not os.path.isdir(os.path.expanduser(text)) and not is_on_hub(text):
        raise NotFoundError(
            f"There is no folder {text}.", "Check the path, or name a model on the hub as OWNER/NAME."
        )


def origin(name: str) -> Origin:
    """What is fetched of a model on the hub: configuration, weights, tokenizer and processor."""
    return Origin(name, parts=(".",), shelf=_SHELF)


def fetched() -> dict[str, int]:
    """The models of the hub that are here, whole or not, and their bytes."""
    shelf = home.cache_dir() / _SHELF
    names = [path.name.replace("--", "/", 1) for path in shelf.glob("*--*") if path.is_dir()]
    return {name: cache.bytes_here(origin(name)) for name in sorted(names)}


def found(text: str, require: Callable[[Path, str], None]) -> Path:
    """The folder of the model ``text``; one of the hub is fetched unless it is here, and then no more.

    ``require`` is given its `CONFIG`, before weights are fetched, and ``text``; it raises IncompatibleError
    for a model that cannot judge. Raises:
        NotFoundError: there is neither such a folder nor such a model on the hub.
        NetworkError: it has to be fetched, and cannot be.
        IncompatibleError: the hub has it without weights in safetensors, or ``require`` refuses it.
        DiskError, Busy, Stopped: as `pulling.pull`.
    """
    check(text)
    if not is_on_hub(text):
        folder = Path(os.path.expanduser(text))
    else:
        folder = cache.folder(origin(text))
        if not cache.is_whole(origin(text)):
            _fetch(text, require)
    require(folder / CONFIG, text)
    return folder


def require_clip(config: Path, name: str) -> None:
    """Raise IncompatibleError unless ``config`` is that of a CLIP model, which is called ``name``."""
    kind = kind_of(config)
    if kind != "clip":
        why = f"it is of the kind {kind}" if kind else f"there is no {config.name} that says so"
        raise IncompatibleError(f"{name} does not hold a CLIP model: {why}.", "Choose another --clip-model.")


def kind_of(config: Path) -> str:
    """What transformers calls the architecture; empty where there is none. Raises IncompatibleError."""
    return str(folders.read_json(config).get("model_type", "")) if config.is_file() else ""


def _fetch(name: str, require: Callable[[Path, str], None]) -> None:
    from vmc_cli.backbones import hub, pulling

    def accept(path: Path) -> None:
        if path.name == CONFIG:
            require(path, name)

    try:
        pulling.pull(name, [origin(name)], Progress(), accept)
    except hub.Unlisted as error:
        raise NotFoundError(
            f"There is neither a folder {name} nor, at {hub.endpoint()}, a model of that name for everybody.",
            "Check the path, or the name as the model's page has it.",
        ) from error
    except hub.Unusable:  # what was fetched to be converted stays
        raise
    except NetworkError as error:
        error.message = f"{name} is no folder, and was not fetched yet: {error.message}"
        raise
    except IncompatibleError:
        cache.forget(origin(name))
        raise
