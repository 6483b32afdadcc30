"""What the long-running parts tell whoever is watching."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """A progress bar, a log, or nothing at all.

    `step` may raise (`Stopped` above all): work is stopped between two steps, never within one.
    """

    def stage(self, title: str, total: int) -> None:
        """The next stage begins; it takes ``total`` steps."""

    def step(self, loss: float | None = None) -> None:
        """One step is done; some steps of learning come with the loss."""


class Unwatched:
    """For work that nobody watches."""

    def stage(self, title: str, total: int) -> None:
        """Say nothing."""

    def step(self, loss: float | None = None) -> None:
        """Say nothing."""
