"""How much memory to spend: the highest level that fits, and the next lower one where that did not.

Where it runs out all the same, one sentence says what was needed, what was free, and what would help.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from vmc_cli import terminal
from vmc_cli.backbones import Spec, blueprint, placement
from vmc_cli.backbones.base import Backbone
from vmc_cli.costs import LEVELS
from vmc_cli.device import available_memory, choose_device, compute_dtype, ran_out
from vmc_cli.errors import OutOfMemory

T = TypeVar("T")
Peak = Callable[[str], int]
"""Level -> bytes of weights and activations at their peak."""

MARGIN = 1.1  # what allocators lose between tensors, and what kernels need for themselves
PLENTY = 50  # times the weights: a step of learning takes 10 times as much on the largest published clip
_NO_OPTION = "Close other programs that use the device, or choose a smaller backbone."


def highest(peak: Peak, available: float, levels: Sequence[str] = LEVELS) -> str | None:
    """The first of the ``levels`` that fits into so many bytes; None where none does."""
    return next((level for level in levels if peak(level) * MARGIN <= available), None)


def spent(
    task: str,
    asked: str,
    backbone: Backbone,
    peak: Peak,
    attempt: Callable[[str], T],
    *,
    below: Sequence[str] = (),
) -> T:
    """What ``attempt`` returns at the level ``asked``.

    "auto" is the highest that fits; where memory runs out all the same, the next lower one is tried. Nothing
    is counted where there is memory in plenty.

    Raises:
        OutOfMemory: it ran out at the last level. ``task`` says to do what ("learn this motion"), ``below``
            names more levels that can be asked for.
    """
    free = usable(backbone)
    if asked != "auto":
        levels: tuple[str, ...] = (asked,)
    elif free >= PLENTY * placement.size(backbone.network):
        levels = LEVELS
    else:
        levels = LEVELS[LEVELS.index(highest(peak, free) or LEVELS[-1]) :]
    for level, lower in zip(levels, (*levels[1:], None), strict=True):
        try:
            return attempt(level)
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            if lower is None:
                raise _told(task, level, peak, free, below) from error
        _release()  # now that the error, and with it what it held, is gone
        terminal.say(f"There is too little memory at the level {level}: going on at {lower}.")
    raise AssertionError  # there is a last level


@contextmanager
def explained(
    task: str, free: float, peak: Peak, asked: str = "auto", *, below: Sequence[str] = ()
) -> Iterator[None]:
    """Turn running out of memory inside into `OutOfMemory`, counted at the level ``asked``, else the last.

    ``task`` and ``below`` are as for `spent`, ``free`` how many bytes there were for all of it.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise _told(task, LEVELS[-1] if asked == "auto" else asked, peak, free, below) from error


@contextmanager
def loading(spec: Spec) -> Iterator[None]:
    """As `explained`, while a model is loaded: its weights are read into the main memory first."""

    def weights(level: str) -> int:
        device = choose_device()
        model = blueprint(spec, device, compute_dtype(device))
        return placement.size(model.network, *model.surroundings)

    with explained(f"load {spec.name}", available_memory(torch.device("cpu")), weights):
        yield


def usable(backbone: Backbone) -> float:
    """Bytes for all of a task, the weights included that are on the device already."""
    held = placement.size(backbone.network, on=backbone.device)
    return available_memory(backbone.device) + held


def _told(task: str, level: str, peak: Peak, free: float, below: Sequence[str]) -> OutOfMemory:
    need = peak(level)
    had = f", and {_gib(free)} were free" if math.isfinite(free) else ""
    message = f"There is not enough memory to {task}: it takes {_gib(need)}{had}."
    less = [each for each in (LEVELS[-1], *below) if peak(each) < need]
    if not less:
        return OutOfMemory(message, _NO_OPTION)
    best = highest(peak, free, less) or min(less, key=peak)
    return OutOfMemory(message, f"--memory {best} takes {_gib(need - peak(best))} less.")


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _release() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
