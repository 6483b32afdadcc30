"""Read a stranger's file in a child process that has little memory, little time and nothing else to open.

FFmpeg and the picture libraries have crashed, hung and filled the memory on damaged files before, and will
again. Here that ends a small process and becomes one sentence. The child (`child.py`) imports only numpy and
PyAV, or Pillow for pictures; this side imports neither.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from vmc_cli.errors import ClipError, NotFoundError

MEMORY_BYTES = 1536 << 20
"""Address space of the child: sixteen 4K frames of 10 bits that a decoder may hold, and as much again."""

CPU_SECONDS = 60
WALL_SECONDS = 300
"""The processor may wait for a slow disk or for other programs, but not for ever."""

# `sys` is built in; the path is the parent's own before anything else is imported, so that a file called
# json.py in the working folder is never run.
_BOOT = (
    "import sys; sys.path[:] = sys.argv[2:]; import json; "
    "from vmc_cli.decoding.child import main; main(json.loads(sys.argv[1]))"
)


def ask(path: str | os.PathLike[str], action: str, **wishes: Any) -> tuple[dict[str, Any], bytes]:
    """Let a child do `action` ("frames", "picture" or "metadata") with the file or folder.

    Returns its answer's plain values and raw bytes. Raises ClipError for whatever is wrong with the
    file, NotFoundError where there is none.
    """
    name = os.fspath(path)
    check_kind(name)
    request = {
        "action": action,
        "path": os.path.abspath(name),
        "name": name,
        "memory": MEMORY_BYTES,
        "seconds": CPU_SECONDS,
        **wishes,
    }
    command = [sys.executable, "-c", _BOOT, json.dumps(request), *(p or os.getcwd() for p in sys.path)]
    debug = bool(os.environ.get("VMC_DEBUG"))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if debug else subprocess.DEVNULL,
            timeout=WALL_SECONDS,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise _too_slow(name) from None
    return _answer(name, done.returncode, done.stdout)


def check_kind(name: str) -> None:
    """Refuse what is not a file or folder before anything waits on it (a pipe, a device)."""
    if "\0" in name:
        raise ClipError(f"{name} is not a file name.")
    try:
        kind = os.stat(name)
    except FileNotFoundError:
        if os.path.lexists(name):
            raise ClipError(f"{name} is a link to a file that does not exist.") from None
        raise NotFoundError(f"There is no clip {name}.", "Check the path; put quotes around it.") from None
    except OSError as error:
        raise ClipError(f"{name} cannot be opened: {error.strerror}.") from None
    if stat.S_ISDIR(kind.st_mode):
        return
    if not stat.S_ISREG(kind.st_mode):
        raise ClipError(f"{name} is not a regular file.", "Save the clip as a file first.")
    if kind.st_size == 0:
        raise ClipError(f"{name} is empty.", "Copy or download the clip again.")
    if not os.access(name, os.R_OK):
        raise ClipError(f"{name} may not be read.", f"Check its permissions: ls -l {Path(name).parent}")


def _answer(name: str, returncode: int, reply: bytes) -> tuple[dict[str, Any], bytes]:
    head, _, body = reply.partition(b"\n")
    try:
        answer = json.loads(head)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and isinstance(answer.get("size"), int) and answer["size"] == len(body):
        if "error" in answer:
            raise ClipError(str(answer["error"]), str(answer.get("hint", "")))
        return answer, body
    if returncode in (-24, -9):  # SIGXCPU; SIGKILL, by the hard limit or by the kernel
        raise _too_slow(name)
    raise ClipError(
        f"{name} cannot be decoded: the decoder broke down on it ({returncode}).",
        "The file is probably damaged; convert it, for example: ffmpeg -i IN -c:v libx264 OUT.mp4",
    )


def _too_slow(name: str) -> ClipError:
    return ClipError(
        f"{name} takes more than {CPU_SECONDS} seconds to decode.",
        "Take a part with --trim FROM:TO, or make it smaller first: ffmpeg -i IN -vf scale=-2:480 OUT.mp4",
    )
