"""The sha256 of weight files, kept from one command to the next: reading gigabytes takes seconds."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from registry import files, home
from registry.errors import RegistryError

WORTH_KEEPING = 64 << 20
"""Bytes from which on a file takes longer to be hashed than its hash to be written down and read."""

_SETTLED_NS = 2_000_000_000  # the coarsest clock of a disk (FAT): a younger file may change unseen
_LARGEST_ENTRY = 4096
_HEX = re.compile(r"[0-9a-f]{64}")


class _State(NamedTuple):
    """What of a file changes when its content does."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def sha256(path: Path) -> str:
    """Of a file, in hex; it is read only when it is not as it was when it was last hashed."""
    return _sha256(path.resolve(), _state(path))


@lru_cache
def _sha256(path: Path, state: _State) -> str:
    if state.size < WORTH_KEEPING:
        return _hashed(path)
    if kept := _kept(path, state):
        return kept
    found = _hashed(path)
    if _state(path) == state and time.time_ns() - state.mtime_ns > _SETTLED_NS:
        with suppress(RegistryError):  # a full or closed disk: the next command reads the file again
            _keep(path, state, found)
    return found


def _state(path: Path) -> _State:
    found = path.stat()
    return _State(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _hashed(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _entry(path: Path) -> Path:
    """Where the hash of the file at ``path`` is kept. Raises DiskError."""
    return home.cache_dir() / "hashes" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()}.json"


def _kept(path: Path, state: _State) -> str | None:
    """The hash that was kept of this very state; None where none was, or what was kept makes no sense."""
    try:
        with _entry(path).open("rb") as file:
            found = json.loads(file.read(_LARGEST_ENTRY))
        digest = str(found.pop("sha256"))
    except (OSError, RegistryError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return digest if found == state._asdict() and _HEX.fullmatch(digest) else None


def _keep(path: Path, state: _State, digest: str) -> None:
    entry = _entry(path)
    files.make_folder(entry.parent)
    files.publish(entry, json.dumps({**state._asdict(), "sha256": digest}).encode(), replace=True)
