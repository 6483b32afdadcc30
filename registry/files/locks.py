"""A lock for each file in the making, which the system lets go of when its holder dies."""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.disk import CAREFUL, explained
from registry.errors import Busy
from registry.signals import unbroken

if sys.platform != "win32":
    import fcntl

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Be the only one who makes the file `path`; the system lets go of the lock however this process ends.

    Raises Busy at once when another has it, DiskError when the folder is not writable. It saves work and no
    more: what keeps two files of one name apart is publish(). Windows, and disks that cannot lock, do
    without.
    """
    if sys.platform == "win32":
        yield
        return
    target = path.with_suffix(".lock")
    held = None
    try:
        with unbroken(), explained(target):
            held = _acquire(target)
        yield
    finally:
        with unbroken():
            if held is not None:
                _release(held, target)


def _acquire(target: Path) -> int:
    """The open and locked file `target`, with this process's number in it. Raises Busy, OSError."""
    while True:
        file = os.open(target, os.O_RDWR | os.O_CREAT | CAREFUL, 0o666)
        try:
            _flock(file, target)
            if _is_at(file, target):  # else its last holder has just deleted it
                with suppress(OSError):  # a full disk: then the lock holds without a signature
                    os.ftruncate(file, 0)
                    os.write(file, f"{os.getpid()} {int(time.time())}\n".encode())
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _release(held: int, target: Path) -> None:
    with suppress(OSError):
        if _is_at(held, target):
            os.unlink(target)
    with suppress(OSError):
        os.close(held)


def _flock(file: int, target: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = re.fullmatch(rb"(\d{1,10}) (\d{1,11})\n", os.read(file, 64))
        who = f"Process {int(owner[1])}" if owner else "Another process"
        since = time.strftime(" since %H:%M", time.localtime(int(owner[2]))) if owner else ""
        message = f"{who} has been writing {target.stem}{since}."
        raise Busy(message, "Wait until it is done, or choose another name.") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False
