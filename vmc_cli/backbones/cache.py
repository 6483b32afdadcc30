"""The files that were fetched from a hub, and what was written down of them when they were."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from registry import files, home
from vmc_cli.backbones import converting
from vmc_cli.backbones.spec import Origin

PART = ".part"
"""Suffix of a file in the making."""

_LARGEST_RECORD = 1 << 20
_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class File:
    """A file of a repository: its size in bytes, and its sha256 or else the sha1 by which git knows it."""

    size: int
    sha256: str = ""
    git: str = ""


@dataclass(frozen=True)
class Record:
    """What was resolved at the first pull and is verified from then on: a commit and its files by path.

    `pickles` are those of its files that are fetched to be converted. What they became is in `files`, too.
    """

    commit: str
    files: Mapping[str, File]
    pickles: Mapping[str, File] = field(default_factory=dict)

    @property
    def converted(self) -> set[str]:
        """The paths of what the pickles become, or became."""
        return {converting.target(Path(path)).as_posix() for path in self.pickles}


def folder(origin: Origin) -> Path:
    """Where the files of ``origin`` are, or go."""
    return home.cache_dir() / origin.shelf / origin.repository.replace("/", "--")


def record_path(origin: Origin) -> Path:
    """Where the record of ``origin`` is: beside its folder, so that it outlives the files."""
    place = folder(origin)
    return place.with_name(f"{place.name}.json")


def record(origin: Origin) -> Record | None:
    """What was written down of ``origin``; None where nothing was, or of another commit, or unreadable."""
    try:
        with record_path(origin).open("rb") as file:
            found = _parsed(json.loads(file.read(_LARGEST_RECORD)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if origin.revision in (None, found.commit) else None


def write(origin: Origin, found: Record) -> None:
    """Write down ``found``, durably. Raises DiskError."""
    groups = {"files": found.files, "pickles": found.pickles}
    content = {
        "commit": found.commit,
        **{key: {path: asdict(file) for path, file in group.items()} for key, group in groups.items()},
    }
    path = record_path(origin)
    files.make_folder(path.parent)
    files.publish(path, json.dumps(content, indent=1).encode(), replace=True)


def forget(origin: Origin) -> None:
    """Delete what is here of ``origin``, and what was written down of it."""
    files.discard(folder(origin))
    files.discard(record_path(origin))


def is_whole(origin: Origin) -> bool:
    """Whether all files are here. Each got its name only after it was verified, so sizes tell."""
    found = record(origin)
    return (
        found is not None
        and found.converted <= found.files.keys()
        and all(size_of(folder(origin) / path) == file.size for path, file in found.files.items())
    )


def sha256s(origin: Origin) -> dict[str, str]:
    """The sha256 in hex of each file, by its path, where it is known."""
    found = record(origin)
    return {path: file.sha256 for path, file in found.files.items() if file.sha256} if found else {}


def size_of(path: Path) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def bytes_here(origin: Origin) -> int:
    """What ``origin`` takes on the disk, half-fetched files included."""
    return sum(size_of(path) or 0 for path in folder(origin).rglob("*"))


def sized(size: float) -> str:
    """A number of bytes for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _parsed(value: Any) -> Record:
    found, pickles = (
        {
            str(path): File(int(file["size"]), str(file["sha256"]), str(file["git"]))
            for path, file in group.items()
        }
        for group in (value["files"], value.get("pickles", {}))
    )
    if not found or not _HEX.fullmatch(value["commit"]) or not all(map(is_inside, (*found, *pickles))):
        raise ValueError
    return Record(value["commit"], found, pickles)


def is_inside(path: str) -> bool:
    """Whether ``path`` names a file in a folder or in a folder of it, in plain letters."""
    return bool(re.fullmatch(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*/)?[A-Za-z0-9_][A-Za-z0-9._-]*", path))
