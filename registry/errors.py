"""What can go wrong with motions: one class for each thing that a script would treat differently."""

from __future__ import annotations


class RegistryError(Exception):
    """A sentence for the user and the next thing to try; `code` is the exit code it becomes.

    The sentence may quote file names and file contents: make it safe before it meets a terminal.
    """

    code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadName(RegistryError):
    """The name cannot be that of a motion."""

    code = 2


class Damaged(RegistryError):
    """The file is not a whole motion: cut short, changed, or something else altogether."""

    code = 4


class NotFound(RegistryError):
    """No motion has that name."""

    code = 5


class Exists(RegistryError):
    """The name is taken."""

    code = 6


class Busy(RegistryError):
    """Another process is writing that motion at this moment."""

    code = 6


class Incompatible(RegistryError):
    """The file is whole, but made for a newer vmc."""

    code = 7


class DiskError(RegistryError):
    """The disk is full, read-only, failing, or closed to this user."""

    code = 8
