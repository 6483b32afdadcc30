"""What the system says about a disk, as sentences. Only asks, never writes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.errors import DiskError, Exists

# How files are opened here: no link is followed, no pipe is waited for, no child inherits them. A flag that
# a system lacks counts as nothing. O_BINARY: Windows would translate line ends.
CAREFUL = sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))

_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ELSEWHERE = "Choose a folder that you can write to; VMC_HOME moves vmc's own."
_MAKE_SPACE = "Make some space, or choose a folder on another disk; VMC_HOME moves vmc's own."


@contextmanager
def explained(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an OSError while making `path`, a file of `needed` bytes, into Exists or DiskError."""
    try:
        yield
    except OSError as error:
        if error.errno in _TAKEN:
            raise Exists(f"{path} exists already.", "Choose another name.") from error
        message = f"{path} cannot be written: {error.strerror or error}"
        if error.errno not in _NO_SPACE:
            raise DiskError(f"{message}.", _ELSEWHERE) from error
        free = _free(path.parent)
        space = "" if free is None else f" ({needed:,} bytes needed, {free:,} free)"
        raise DiskError(f"{message}{space}.", _MAKE_SPACE) from error


def need_writable(folder: Path) -> None:
    """Raise DiskError unless files can be made in `folder`, which need not exist yet."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise DiskError(f"{folder} cannot be written to.", _ELSEWHERE)


def need_space(folder: Path, size: int) -> None:
    """Raise DiskError unless `folder`, which need not exist yet, has room for `size` bytes.

    It passes where the system cannot tell.
    """
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    free = _free(folder)
    if free is not None and free < size:
        raise DiskError(f"{folder} has {free:,} bytes free, and {size:,} are needed.", _MAKE_SPACE)


def _free(folder: Path) -> int | None:
    """Bytes that this user can still write in `folder`; None where the system cannot tell."""
    if sys.platform == "win32":
        return None
    try:
        state = os.statvfs(folder)
    except OSError:
        return None
    return state.f_bavail * state.f_frsize
