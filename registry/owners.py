"""Which process a temporary file belongs to, told by its name, and whether that process still lives."""

from __future__ import annotations

import os
import re
import sys
import time
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path

FOREIGN_HOURS = 24

_TEMP = re.compile(r"\.tmp-([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{12}(?:\..*)?", re.DOTALL)


def temp_name(path: Path) -> Path:
    """A free name beside `path` for a file in the making, with its suffix, signed by this process."""
    return path.with_name(f".tmp-{_origin()}-{os.getpid()}-{os.urandom(6).hex()}{path.suffix}")


def abandoned(path: Path) -> bool:
    """Whether `path` has a temp_name() and the process that signed it is dead.

    Where that cannot be known (another machine, container or start of this one), whether it is older than a
    day.
    """
    signed = _TEMP.fullmatch(path.name)
    if not signed:
        return False
    if signed[1] == _origin() and sys.platform != "win32":  # there kill() ends any process
        return not _alive(int(signed[2]))
    try:
        return time.time() - os.lstat(path).st_mtime > FOREIGN_HOURS * 3600
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it lives, and is not ours
        return True
    return True


@cache
def _origin() -> str:
    """Where process numbers mean what they mean here: this start of this machine, this container."""
    parts = [os.environ.get("COMPUTERNAME", "") if sys.platform == "win32" else os.uname().nodename]
    with suppress(OSError):
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            parts.append(boot.read())
    return f"{zlib.crc32(' '.join(parts).encode('utf-8', 'replace')):08x}"
