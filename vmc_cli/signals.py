"""Stopping politely: the first signal lets the running step finish, the second ends the process at once.

SIGTERM and SIGHUP come from a system that soon kills, so after them there are only `SECONDS` left.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from vmc_cli.errors import Stopped

SECONDS = 10.0


@dataclass
class _State:
    """Signals belong to the process, so this does too."""

    pending: int = 0
    in_step: bool = False


_state = _State()
_HAS_TIMER = hasattr(signal, "setitimer")  # Windows has none


@contextmanager
def handled() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Stopped` while inside; only the main thread may be asked."""
    _state.pending, _state.in_step = 0, False
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    # A signal that our parent ignores (nohup, a background job) stays ignored.
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    ours = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _arrived) for number in ours}
    if _HAS_TIMER:
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _ran_out)
    try:
        yield
    finally:
        if _HAS_TIMER:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.pending, _state.in_step = 0, False


def step_begins() -> None:
    """From here a signal waits for `step_ends`, so that no step is cut in half."""
    _state.in_step = True


def step_ends() -> None:
    """A step is whole: raise `Stopped` when a signal came meanwhile."""
    _state.in_step = False
    if _state.pending:
        raise Stopped(_state.pending)


@contextmanager
def between_steps() -> Iterator[None]:
    """Nothing would be cut in half inside: a signal stops what is done there at once. Raises `Stopped`."""
    before = _state.in_step
    step_ends()
    try:
        yield
    finally:
        _state.in_step = before


def overtaken(error: BaseException) -> BaseException:
    """What ended the running step: the signal that came meanwhile, if one did, else ``error``."""
    _state.in_step = False
    return Stopped(_state.pending) if _state.pending and not isinstance(error, Stopped) else error


def _arrived(number: int, frame: FrameType | None) -> None:
    if _state.pending:
        # Asked twice. Everything visible was published whole, so there is nothing to tidy up.
        os._exit(128 + number)
    _state.pending = number
    if _HAS_TIMER and number != signal.SIGINT:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
    if not _state.in_step:
        raise Stopped(number)


def _ran_out(number: int, frame: FrameType | None) -> None:
    os._exit(128 + _state.pending)
