"""A folder of clips with captions: in captions.json, or as the files are named."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from vmc_cli.errors import DiskError, NotFoundError, UsageError

FILE = "captions.json"
LARGEST = 4 << 20  # bytes
MOST = 1000

Captioned = list[tuple[Path, str]]


def read(folder: Path) -> Captioned:
    """The clips of ``folder`` with what each shows, by name; no clip is opened.

    ``captions.json`` maps file names to captions, and only what it names is taken. Without it every file
    counts, and ``a_dog_is_running_2.mp4`` shows "a dog is running".

    Raises UsageError, NotFoundError, DiskError.
    """
    try:
        found = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        raise NotFoundError(f"There is no folder {folder}.", "Name a folder of clips.") from None
    except OSError as error:
        raise DiskError(f"{folder} cannot be read: {error.strerror}.", "Name a folder of clips.") from None
    captions = _told(folder / FILE, found) if FILE in found else {name: _worded(name) for name in found}
    for name, caption in captions.items():
        if not caption.strip():
            raise UsageError(
                f"{folder / name} has no caption.", f"Say what it shows, in its name or in {FILE}."
            )
    if not 0 < len(captions) <= MOST:
        problem = "no clips" if not captions else f"more than {MOST} clips"
        raise UsageError(f"The folder {folder} has {problem}.", "Put a handful of captioned clips there.")
    return [(folder / name, " ".join(caption.split())) for name, caption in sorted(captions.items())]


def _told(path: Path, found: list[str]) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        told = json.loads(data[: LARGEST + 1].decode("utf-8")) if len(data) <= LARGEST else None
    except OSError as error:
        raise DiskError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not all(isinstance(caption, str) for caption in told.values()):
        raise UsageError(f"{path} does not map files to captions.", 'Write {"dog.mp4": "a dog is running"}.')
    if missing := sorted(told.keys() - set(found)):
        raise NotFoundError(
            f"{path} names {missing[0]}, which is not beside it.", "Name files of that folder."
        )
    return told


def _worded(name: str) -> str:
    words = re.split(r"[\W_]+", Path(name).stem)
    return " ".join(word for word in words if word and not word.isdigit())
