"""How much memory to spend: the highest level that fits, and the next lower one where that did not."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import TypeVar

import torch

from vmc_cli import terminal
from vmc_cli.backbones import placement
from vmc_cli.backbones.base import Backbone
from vmc_cli.costs import LEVELS
from vmc_cli.device import LESS_MEMORY, available_memory, ran_out
from vmc_cli.errors import OutOfMemory

T = TypeVar("T")
Peak = Callable[[str], int]
"""Level -> bytes of weights and activations at their peak."""

MARGIN = 1.1  # what allocators lose between tensors, and what kernels need for themselves
PLENTY = 50  # times the weights: a step of learning takes 10 times as much on the largest published clip


def highest(peak: Peak, available: float) -> str | None:
    """The highest level that fits into so many bytes; None where none does."""
    return next((level for level in LEVELS if peak(level) * MARGIN <= available), None)


def spent(task: str, asked: str, backbone: Backbone, peak: Peak, attempt: Callable[[str], T]) -> T:
    """What ``attempt`` returns at the level ``asked``.

    "auto" is the highest that fits; where memory runs out all the same, the next lower one is tried. Nothing
    is counted where there is memory in plenty.

    Raises:
        OutOfMemory: it ran out at the last level. ``task`` says to do what ("learn this motion").
    """
    usable = _usable(backbone)
    if asked != "auto":
        levels: tuple[str, ...] = (asked,)
    elif usable >= PLENTY * placement.size(backbone.network):
        levels = LEVELS
    else:
        levels = LEVELS[LEVELS.index(highest(peak, usable) or LEVELS[-1]) :]
    for level, lower in zip(levels, (*levels[1:], None), strict=True):
        try:
            return attempt(level)
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            if lower is None:
                raise _explained(task, level, peak, usable) from error
        _release()  # now that the error, and with it what it held, is gone
        terminal.say(f"There is too little memory at the level {level}: going on at {lower}.")
    raise AssertionError  # there is a last level


def _usable(backbone: Backbone) -> float:
    """Bytes for all of it, the weights included that are on the device already."""
    held = placement.size(backbone.network, on=backbone.device)
    return available_memory(backbone.device) + held


def _explained(task: str, level: str, peak: Peak, usable: float) -> OutOfMemory:
    need, least = peak(level), peak(LEVELS[-1])
    free = f", and {_gib(usable)} were free" if math.isfinite(usable) else ""
    message = f"There is not enough memory to {task}: it takes {_gib(need)}{free}."
    saves = f"--memory {LEVELS[-1]} takes {_gib(need - least)} less."
    return OutOfMemory(message, saves if least < need else LESS_MEMORY)


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
