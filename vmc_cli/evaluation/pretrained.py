"""Models of transformers, read from a folder: safetensors only, nothing is fetched, no code is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from vmc_cli.backbones import folders
from vmc_cli.errors import IncompatibleError

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError)


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Read from ``folder`` inside, without a word; what the library raises becomes one sentence.

    Raises `IncompatibleError`: the folder does not hold a whole ``what``.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (*_UNREADABLE, SafetensorError) as error:
        raise IncompatibleError(f"The folder {folder} does not hold a whole {what}: {error}") from error


def model(kind: Any, folder: Path, optional: tuple[str, ...] = ()) -> tuple[Any, list[str]]:
    """A frozen model of the class ``kind`` in float32, and the weights that its files lack.

    Their names begin with one of ``optional``. Where others are missing, which the library would fill at
    random, there is an `IncompatibleError`.
    """
    found, told = kind.from_pretrained(
        folder,
        variant=folders.variant(folder),
        use_safetensors=True,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    missing = sorted(told["missing_keys"])
    if needed := [name for name in missing if not name.startswith(optional)]:
        raise IncompatibleError(
            f"The model in {folder} lacks {len(needed)} weights, {needed[0]} among them.", "Get it once more."
        )
    return found.eval().requires_grad_(False), missing


def processor(kind: Any, folder: Path) -> Any:
    """What makes of pictures, and of words, what the model in ``folder`` takes."""
    return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
