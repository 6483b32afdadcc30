"""Errors that users see: one sentence, the next step, and an exit code that scripts can rely on."""

from __future__ import annotations

import re

KINDS = {
    1: "internal",
    2: "usage",
    3: "clip",
    4: "damaged",
    5: "not-found",
    6: "exists",
    7: "incompatible",
    8: "disk",
    9: "memory",
    10: "network",
    11: "diverged",
    129: "hangup",
    130: "interrupted",
    143: "terminated",
}
"""Exit code -> the word for it in JSON. Codes are a public contract: add, never change."""


class VmcError(Exception):
    """What went wrong in one sentence (`message`) and what to do about it (`hint`)."""

    code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(VmcError):
    """The command line asks for something that cannot be: a bad name, value or combination."""

    code = 2


class ClipError(VmcError):
    """A clip cannot be read, or cannot be learned from."""

    code = 3


class NotFoundError(VmcError):
    """A motion, clip or folder that was named does not exist."""

    code = 5


class ExistsError(VmcError):
    """Something is in the way and may not be overwritten."""

    code = 6


class IncompatibleError(VmcError):
    """Things that do not belong together: a motion and another backbone, a newer file format."""

    code = 7


class DiskError(VmcError):
    """The disk is full, read-only, or not ours to write to."""

    code = 8


class OutOfMemory(VmcError):
    """The device or the machine has too little memory for this."""

    code = 9


class NetworkError(VmcError):
    """A model hub cannot be reached or sends something wrong."""

    code = 10


class Diverged(VmcError):
    """Learning left the finite numbers."""

    code = 11


class Partly(VmcError):
    """Some of many things failed, and each was told by itself; `code` is that of the first."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.code = code


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop. Raised between steps, so that work so far can be kept."""

    def __init__(self, signum: int, hint: str = "") -> None:
        super().__init__(signum)
        self.code = 128 + signum
        self.message = "Stopped; nothing half-written was kept."
        self.hint = hint


_SECRETS = re.compile(r"hf_[A-Za-z0-9]{20,}|(?i:authorization)['\"]?\s*[:=]\s*['\"]?(?:\w+\s+)?[^\s'\"]+")


def scrubbed(text: str) -> str:
    """`text` without access tokens, for anything that is shown or written about a failure."""
    return _SECRETS.sub("[secret]", text)
