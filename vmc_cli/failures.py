"""Any error as what its user is told: one sentence, the next step, an exit code. A bug leaves a crash log."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import vmc_cli
from registry.errors import RegistryError
from vmc_cli import errors, terminal
from vmc_cli.errors import DiskError, OutOfMemory, Stopped, VmcError

_DISK = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EFBIG", "ENAMETOOLONG")
    if hasattr(errno, name)
}


def told(error: BaseException) -> VmcError | RegistryError | Stopped:
    """`error` as one with a message, a hint and an exit code; secrets are scrubbed when it is shown."""
    if debugging():
        for line in _traceback(error).splitlines():
            terminal.say(line)
    return _known(error) or _bug(error)


def debugging() -> bool:
    """Whether the user wants to see tracebacks."""
    return bool(os.environ.get("VMC_DEBUG"))


def _known(error: BaseException) -> VmcError | RegistryError | Stopped | None:
    if isinstance(error, VmcError | RegistryError | Stopped):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Stopped(2)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _cpu_memory(error):
        return OutOfMemory(
            "There is not enough memory for this.",
            "Close other programs, or choose a smaller backbone: vmc backbones",
        )
    if isinstance(error, OSError) and error.errno in _DISK:
        name = "The output" if error.filename is None else os.fsdecode(error.filename)
        return DiskError(
            f"{name} cannot be written or read: {error.strerror}.", "Check the disk and its permissions."
        )
    return None


def _bug(error: BaseException) -> VmcError:
    where = _crash_log(error)
    kept = f"Please report it with {where}" if where else "Please report it"
    reason = errors.scrubbed(f"{type(error).__name__}: {error}")
    return VmcError(f"This is a bug in vmc: {reason}", f"{kept}; VMC_DEBUG=1 shows the traceback.")


def _cpu_memory(error: BaseException) -> bool:
    """torch reports a full main memory as a bare RuntimeError."""
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _traceback(error: BaseException) -> str:
    import traceback

    return errors.scrubbed("".join(traceback.format_exception(error)))


def _crash_log(error: BaseException) -> Path | None:
    """Write the traceback where only this user can read it; None where that is impossible."""
    from registry import files, home

    text = f"vmc {vmc_cli.__version__}, Python {sys.version.split()[0]}, {sys.platform}\n{_traceback(error)}"
    mask = os.umask(0o077)
    try:
        folder = home.checkpoints_dir().parent / "crashes"
        path = folder / time.strftime(f"%Y%m%d-%H%M%S-{os.getpid()}.txt", time.gmtime())
        files.make_folder(folder)
        files.publish(path, text.encode("utf-8", "backslashreplace"), replace=True)
        return path
    except RegistryError:
        return None
    finally:
        os.umask(mask)
