"""Which frames to take: by the time they are shown, never by their number."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import median

from vmc_cli.errors import ClipError


@dataclass(frozen=True)
class Wish:
    """What is asked of a clip: `frames` of `height` x `width` pixels from `trim` (seconds, seconds)."""

    name: str
    frames: int
    height: int
    width: int
    trim: tuple[float | None, float | None] | None = None
    sample_fps: float | None = None


def step_of(times: Sequence[float]) -> float:
    """The usual time between two frames in seconds: the median, so that no pause counts."""
    return median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0


def stop_of(wish: Wish) -> float:
    """Where the wished part ends, in seconds from the clip's beginning; infinity for its end."""
    stop = wish.trim[1] if wish.trim else None
    return inf if stop is None else stop


def choose(times: Sequence[float], end: float, wish: Wish) -> tuple[list[int], float]:
    """The indices of the frames to take, and the frames a second that they then have.

    `times` are the seconds at which each frame appears, ascending; `end` is when the last one goes. A part
    of n frames from a to b is read at a, a + (b - a) / n, ...: whatever is on screen at that moment, so a
    frame that stays long is taken more than once. Moments lie half a frame late, so that timestamps rounded
    to milliseconds change nothing.

    Raises ClipError when the part holds fewer different frames than are asked for.
    """
    if len(times) < 2:
        raise ClipError(
            f"{wish.name} has {'one frame' if times else 'no frames'}; {wish.frames} are needed.",
            "Give a video, an animated picture or a folder of pictures.",
        )
    origin, half = times[0], step_of(times) / 2
    shown = [time - origin for time in times]
    length = end - origin
    begin, stop = _part(length, wish)
    first = bisect_right(shown, begin + half) - 1 if begin else 0
    last = len(shown) - 1 if stop >= length else max(first, bisect_right(shown, stop - half) - 1)
    _check_count(last - first + 1, len(shown), wish)
    if wish.sample_fps is None:
        pace = (stop - begin) / wish.frames
    else:
        pace = 1 / wish.sample_fps
        taken = bisect_right(shown, begin + pace * (wish.frames - 1) + half) - first
        _check_pace(begin, stop, half, wish, taken)
    moments = [begin + pace * number + half for number in range(wish.frames)]
    return [min(max(bisect_right(shown, moment) - 1, first), last) for moment in moments], 1 / pace


def _part(length: float, wish: Wish) -> tuple[float, float]:
    begin, stop = wish.trim or (None, None)
    begin = 0.0 if begin is None else begin
    if not begin >= 0 or (stop is not None and not stop > begin):
        part = f"{begin:g}:{'' if stop is None else f'{stop:g}'}"
        raise ClipError(f"{part} is no part of {wish.name}.", "Write --trim FROM:TO in seconds.")
    if begin >= length:
        raise ClipError(
            f"{wish.name} lasts {length:.2f} seconds, so there is nothing from {begin:g} on.",
            f"Choose a part between 0 and {length:.2f}.",
        )
    return begin, length if stop is None else min(stop, length)


def _check_count(count: int, whole: int, wish: Wish) -> None:
    if count >= wish.frames:
        return
    other = "or choose a --backbone that needs fewer frames."
    if count == whole:
        raise ClipError(
            f"{wish.name} has {count} frames; {wish.frames} are needed.", f"Use a longer clip, {other}"
        )
    raise ClipError(
        f"That part of {wish.name} has {count} frame{'s'[: count != 1]}; {wish.frames} are needed.",
        f"Widen --trim (the whole clip has {whole} frames), {other}",
    )


def _check_pace(begin: float, stop: float, half: float, wish: Wish, distinct: int) -> None:
    assert wish.sample_fps is not None
    needed = wish.frames / wish.sample_fps
    if begin + (wish.frames - 1) / wish.sample_fps > stop - half:
        raise ClipError(
            f"{wish.frames} frames at {wish.sample_fps:g} a second last {needed:.2f} seconds; "
            f"{wish.name} has {stop - begin:.2f}.",
            "Choose a higher --sample-fps, a wider --trim or a longer clip.",
        )
    if distinct < wish.frames:
        raise ClipError(
            f"{wish.name} has only {distinct} frames in {needed:.2f} seconds, "
            f"too few for {wish.sample_fps:g} a second.",
            "Choose a lower --sample-fps, or leave it out.",
        )
