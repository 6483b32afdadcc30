"""Videos through PyAV: which frames there are, and the wished ones as pixels.

Two passes. The first reads packets only and learns when each frame appears. The second decodes, from the
last key frame before each wished frame, and must see every frame that the packets promised. Where the packets
do not tell (no timestamps, hidden frames, damage), everything is decoded twice instead: once to count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from math import inf
from typing import TYPE_CHECKING, Any

from vmc_cli.errors import ClipError

from .container import Packet, Stated, check_ending, damaged, opened, packets_of, sized
from .pixels import fitted
from .timeline import Wish, choose, step_of, stop_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NEAR = 64
"""Packets that a decoder may hold back; gaps shorter than this are decoded rather than skipped."""

_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def read(path: str, wish: Wish) -> tuple[list[NDArray[np.uint8]], float]:
    """The wished frames, each (height, width, 3), and how many of them make a second. Raises ClipError."""
    with opened(path, wish.name) as (_, stream):
        tick = float(stream.time_base)
        stated = Stated.of(stream)
        packets = packets_of(stream, wish)
        check_ending(path, stream, wish)
    shown = [packet for packet in packets if packet.shown]
    order = sorted({packet.pts for packet in shown if packet.pts is not None})
    if order and len(order) == len(shown):
        last = max(shown, key=lambda packet: packet.pts or 0)
        times = [pts * tick for pts in order]
        end = times[-1] + (last.duration * tick or step_of(times))
        stated.check(len(order), times, end, wish)
        chosen, fps = choose(times, end, wish)
        by_pts = _by_packets(path, packets, sorted({order[index] for index in chosen}), wish)
        if by_pts is not None:
            return [by_pts[order[index]] for index in chosen], fps
    times, end = _decoded_times(path, max(stated.frames, len(shown)), wish)
    stated.check(len(times), times, end, wish)
    chosen, fps = choose(times, end, wish)
    by_number = _by_number(path, set(chosen), wish)
    return [by_number[index] for index in chosen], fps


def comment(path: str, name: str) -> str:
    """The comment in the container's metadata, "" where there is none."""
    with opened(path, name) as (container, _):
        metadata = {key.lower(): text for key, text in container.metadata.items()}
        return str(metadata.get("comment", ""))


def _decoder(stream: Any) -> Any:
    """The stream's decoder; for VP8 and VP9 with transparency the one that knows of it."""
    import av

    context = stream.codec_context
    name = _WITH_ALPHA.get(context.name) if stream.metadata.get("alpha_mode") == "1" else None
    if name not in av.codecs_available:
        return context
    decoder = av.CodecContext.create(name, "r")
    decoder.thread_count = 1
    decoder.options = dict(context.options)
    return decoder


def _aspect(stream: Any) -> float:
    """Width of a pixel by its height; what is not stated or absurd counts as square."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return aspect if 1 / 8 <= aspect <= 8 else 1.0


def _by_packets(
    path: str, packets: list[Packet], wanted: list[int], wish: Wish
) -> dict[int, NDArray[np.uint8]] | None:
    """The frames at the times `wanted` (ascending ticks), or None unless every frame on the way comes out."""
    runs = _runs(packets, wanted)
    found: dict[int, NDArray[np.uint8]] = {}
    try:
        with opened(path, wish.name) as (_, stream):
            decoder, aspect = _decoder(stream), _aspect(stream)
            feed = enumerate(chain(sized(stream), [None]))
            for run, following in zip_longest(runs, runs[1:]):
                rest = set(run.wanted)
                for frame in _promised(decoder, feed, packets, run, following.start if following else inf):
                    if frame.pts in rest:
                        found[frame.pts] = fitted(frame, wish, aspect)
                        rest.discard(frame.pts)
                    if not rest:
                        break
                decoder.flush_buffers()
    except (ClipError, MemoryError):
        raise
    except Exception:  # libraries raise many kinds on damage; counting says how bad it is
        return None
    return found if len(found) == len(wanted) else None


def _promised(
    decoder: Any, feed: Iterator[tuple[int, Any]], packets: list[Packet], run: _Run, until: float
) -> Iterator[Any]:
    """The frames of `run` in order, as long as each is the one that the packets promise."""
    first = packets[run.start].pts or 0
    window = packets[run.start : run.stop + _NEAR]
    promised = sorted(p.pts for p in window if p.shown and p.pts is not None and p.pts >= first)
    following = iter(promised)
    for number, packet in feed:
        if number < run.start:
            continue
        if number >= until:
            return
        for frame in decoder.decode(packet):
            if frame.pts is not None and frame.pts < first:
                continue
            if frame.pts != next(following, None):
                return
            yield frame


@dataclass
class _Run:
    """Packets to decode without a break, by number, and the ticks of the frames wanted from them."""

    start: int
    stop: int
    wanted: list[int]


def _runs(packets: list[Packet], wanted: list[int]) -> list[_Run]:
    place = {packet.pts: number for number, packet in enumerate(packets)}
    runs: list[_Run] = []
    for pts in wanted:
        start = place[pts]
        # A frame shown before its key frame leans on the key frame before that.
        while start and not (packets[start].key and (packets[start].pts or 0) <= pts):
            start -= 1
        if runs and start <= runs[-1].stop + _NEAR:
            runs[-1].stop = max(runs[-1].stop, place[pts])
            runs[-1].wanted.append(pts)
        else:
            runs.append(_Run(start, place[pts], [pts]))
    return runs


def _decoded(stream: Any, damage: list[Exception]) -> Iterator[Any]:
    """Every frame in order, until the first error after a frame, which goes into `damage`."""
    decoder = _decoder(stream)
    started = False
    for packet in chain(sized(stream), [None]):
        try:
            frames = decoder.decode(packet)
        except MemoryError:
            raise
        except Exception as error:  # as above
            if started or packet is None:
                damage.append(error)
                return
            continue
        started = started or bool(frames)
        yield from frames


def _decoded_times(path: str, stated: int, wish: Wish) -> tuple[list[float], float]:
    """When each frame appears and the last one goes, in seconds, by decoding up to the end of the part."""
    damage: list[Exception] = []
    pts: list[int | None] = []
    with opened(path, wish.name) as (_, stream):
        tick, rate = float(stream.time_base), float(stream.average_rate or stream.guessed_rate or 25)
        for frame in _decoded(stream, damage):
            pts.append(frame.pts)
            known = frame.pts is not None and pts[0] is not None
            if known and (frame.pts - pts[0]) * tick > stop_of(wish) + 1 / rate:
                break
        else:
            if damage or len(pts) < stated - 1:
                raise damaged(wish, len(pts), max(stated, len(pts) + 1))
    times = [number * tick for number in pts if number is not None]
    if len(times) < len(pts) or any(later <= sooner for sooner, later in pairwise(times)):
        times = [number / rate for number in range(len(pts))]
    return times, (times[-1] + (step_of(times) or 1 / rate)) if times else 0.0


def _by_number(path: str, wanted: set[int], wish: Wish) -> dict[int, NDArray[np.uint8]]:
    found: dict[int, NDArray[np.uint8]] = {}
    with opened(path, wish.name) as (_, stream):
        aspect = _aspect(stream)
        for number, frame in enumerate(_decoded(stream, [])):
            if number in wanted:
                found[number] = fitted(frame, wish, aspect)
            if number >= max(wanted):
                break
    return found
