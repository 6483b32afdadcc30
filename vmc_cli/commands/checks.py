"""What is asked of options before anything heavy loads."""

from __future__ import annotations

import math
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from vmc_cli.errors import DiskError, ExistsError, NotFoundError, UsageError
from vmc_cli.recipe import LARGEST_RANK, NOISES

_WITHOUT = "leave out --compile."


def existing(what: str, paths: Iterable[Path]) -> None:
    """Raise NotFoundError unless all `paths`, each of a `what`, are there."""
    for path in paths:
        if not os.path.lexists(path):
            raise NotFoundError(f"There is no {what} {path}.", "Check the path; put quotes around it.")


def clip_or_motion(text: str) -> None:
    """Raise NotFoundError unless `text`, which is no motion's name, is the path of a clip."""
    if not os.path.lexists(text):
        raise NotFoundError(f"There is neither a motion nor a clip {text}.", "vmc list shows all motions.")


def trimmed(text: str | None) -> tuple[float | None, float | None] | None:
    """FROM:TO in seconds, either may be missing. Raises UsageError."""
    if text is None:
        return None
    begin, colon, end = text.partition(":")
    try:
        part = (float(begin) if begin.strip() else None, float(end) if end.strip() else None)
    except ValueError:
        part, colon = (None, None), ""
    known = [second for second in part if second is not None]
    if not colon or not known or any(not math.isfinite(second) or second < 0 for second in known):
        raise UsageError(
            f"--trim {text} is not a part of a clip.", "Write seconds as FROM:TO, like 1.5:4, :4 or 1.5:"
        )
    if known != sorted(set(known)):
        raise UsageError(f"--trim {text} ends before it begins.", "Write seconds as FROM:TO, like 1.5:4")
    return part


def sheet(path: Path | None, *, force: bool) -> None:
    """Raise UsageError, NotFoundError, DiskError or ExistsError unless a sheet can be written to `path`."""
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} cannot be written: a sheet is a PNG.", "Let its name end in .png.")
    writable_folder(path.parent, "--sheet")
    if os.path.lexists(path) and not force:
        raise ExistsError(f"{path} exists already.", "Choose another --sheet.")


def writable_folder(folder: Path, option: str) -> None:
    """Raise NotFoundError or DiskError unless files can be made in `folder`."""
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}.", f"Create it first, or choose another {option}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DiskError(f"The folder {folder} cannot be written to.", f"Choose another {option}.")


def ranked(text: str | None) -> dict[str, int | None]:
    """The change to a recipe that --rank asks for. Raises UsageError."""
    if text is None:
        return {}
    if text == "full":
        return {"rank": None}
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LARGEST_RANK):
        raise UsageError(f"--rank {text} is no rank.", f"Write a number from 1 to {LARGEST_RANK}, or full.")
    return {"rank": int(text)}


def finite(option: str, value: float | None, above: float = -math.inf) -> None:
    """Raise UsageError unless `value`, if there is one, is a finite number above `above`."""
    if value is not None and not (math.isfinite(value) and value > above):
        bound = "" if above == -math.inf else f" above {above:g}"
        raise UsageError(f"{option} {value:g} cannot be used.", f"Write a number{bound}.")


def share(option: str, value: float | None) -> None:
    """Raise UsageError unless `value`, if there is one, lies between 0 and 1."""
    if value is not None and not 0 <= value <= 1:
        raise UsageError(f"{option} {value:g} is not possible.", "Write a number from 0 to 1.")


def among(option: str, value: str | None, known: tuple[str, ...]) -> None:
    """Raise UsageError unless `value`, if there is one, is one of `known`."""
    if value is not None and value not in known:
        raise UsageError(f"{option} {value} is not known.", f"Choose one of {', '.join(known)}.")


def compiler(attention: str) -> None:
    """Raise UsageError unless PyTorch finds here what it compiles with, and may compile that attention."""
    if attention == "xformers":
        raise UsageError(
            "What xformers computes cannot be compiled with the rest.", "Leave out --compile, or --attention."
        )
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    program = os.environ.get("CXX", usual)
    if not shutil.which(program):
        raise UsageError(
            f"--compile needs a compiler, and there is no {program} here.", f"Install one, or {_WITHOUT}"
        )
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise UsageError(
            "--compile needs the headers of Python, and there is no Python.h here.",
            f"Install them (python3-dev, where there is apt), or {_WITHOUT}",
        )


def noise(chosen: str | None) -> None:
    """Raise UsageError unless there is such a start noise, or none was chosen."""
    if chosen is not None and chosen not in NOISES:
        raise UsageError(f"No start noise is called {chosen!r}.", f"Choose one of {', '.join(NOISES)}.")


def worded(option: str, text: str) -> str:
    """`text` without white space around it. Raises UsageError when nothing is left, and as `readable`."""
    if not text.strip():
        raise UsageError(f"The {option} is empty.", "Say in a few words what is seen, in quotation marks.")
    return readable(option, text.strip())


def readable(option: str, text: str) -> str:
    """`text`, which no model can read where its bytes were no UTF-8. Raises UsageError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"The {option} {text!r} is not UTF-8.", "Let the terminal write UTF-8.") from None
    return text
