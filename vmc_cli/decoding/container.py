"""What a video's container tells: its main stream, how much it should hold, and when each packet is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

from vmc_cli.errors import ClipError

from .timeline import Wish, stop_of

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,ogg"
MOST_PIXELS = 4096 * 2304
"""4K in its widest common form."""

_ATTACHED_PICTURE = 0x400
_CONVERT = "Convert it first, for example: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4"
_AGAIN = "Copy or download it again; a part may be whole: --trim FROM:TO"


@dataclass(frozen=True)
class Packet:
    """One packet of the video stream: its time and duration in the stream's ticks."""

    pts: int | None
    duration: int
    key: bool
    shown: bool


@contextmanager
def opened(path: str, name: str) -> Iterator[tuple[Any, Any]]:
    """The container and its main video stream, with every bound set before a frame is decoded."""
    import av

    av.logging.set_level(None)
    try:
        container = av.open(
            path,
            options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except av.error.ArgumentError:
        raise ClipError(f"{name} is in a format that is not read here.", _CONVERT) from None
    except av.error.FFmpegError:
        raise ClipError(f"{name} is no video, or is damaged beyond reading.", _AGAIN) from None
    with container:
        yield container, _main_stream(container, name)


def _main_stream(container: Any, name: str) -> Any:
    streams = [
        stream
        for stream in container.streams
        if stream.type == "video" and not int(stream.disposition) & _ATTACHED_PICTURE
    ]
    if not streams:
        sound = any(stream.type == "audio" for stream in container.streams)
        raise ClipError(f"{name} has {'sound but ' * sound}no video.", "Give a file with moving pictures.")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise ClipError(f"{name} uses a codec that is not known here.", _CONVERT)
    size = stream.codec_context.width, stream.codec_context.height
    if size[0] * size[1] > MOST_PIXELS:
        raise ClipError(
            f"{name} is {size[0]} x {size[1]} pixels; {MOST_PIXELS / 1e6:.1f} million are the most.",
            "Make it smaller first: ffmpeg -i IN -vf scale=-2:1080 OUT.mp4",
        )
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}  # the size may change amid the stream
    return stream


@dataclass(frozen=True)
class Stated:
    """What the container says it holds: frames (0: nothing said) and when the last one ends."""

    frames: int
    end: float | None

    @classmethod
    def of(cls, stream: Any) -> Stated:
        tick = float(stream.time_base)
        end = None
        if stream.container.format.name == "avi":  # shortens the duration of a file that was cut
            end = stream.frames * tick
        elif stream.duration is not None:
            end = ((stream.start_time or 0) + stream.duration) * tick
        elif clock := stream.metadata.get("DURATION"):  # Matroska: 00:00:02.400000000
            end = _seconds(clock)
        elif stream.container.duration and len(stream.container.streams) == 1:
            end = stream.container.duration / 1e6
        return cls(stream.frames, end)

    def check(self, count: int, times: list[float], end: float, wish: Wish) -> None:
        """Refuse a file that ends more than a frame early, unless --trim stops before that.

        Both the time and, where stated, the number must say so: AVI counts repeats that it does not store,
        and the last frame of a variable rate may stay for as long as any other.
        """
        if self.end is None or not times or stop_of(wish) <= end - times[0]:
            return
        steps = [later - sooner for sooner, later in pairwise(times)] or [end - times[0]]
        if end >= self.end - 1.5 * max(steps) or (self.frames and self.frames - count <= 1):
            return
        raise damaged(wish, count, self.frames)


def damaged(wish: Wish, count: int, stated: int) -> ClipError:
    """The refusal of a clip of which `count` frames can be read; `stated` may be 0 for "not known"."""
    of = f"of its {stated} frames" if stated else f"frame{'s'[: count != 1]}, but not its end,"
    return ClipError(f"{wish.name} is damaged: {count} {of} can be read.", _AGAIN)


def _seconds(clock: str) -> float | None:
    try:
        hours, minutes, seconds = clock.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def sized(stream: Any) -> Iterator[Any]:
    """The packets that hold something, in the order of decoding, from the first key frame on."""
    started = False
    for packet in stream.container.demux(stream):
        started = started or packet.is_keyframe
        if started and packet.size:
            yield packet


def packets_of(stream: Any, wish: Wish) -> list[Packet]:
    # VP8 keeps frames that are never shown in packets of their own (RFC 6386, 9.1: show_frame).
    hides = stream.codec_context.name == "vp8"
    packets = [
        Packet(
            pts=packet.pts,
            duration=packet.duration or 0,
            key=packet.is_keyframe,
            shown=not packet.is_discard and not (hides and not bytes(packet)[0] & 0x10),
        )
        for packet in sized(stream)
    ]
    if not packets:
        raise ClipError(f"{wish.name} holds no pictures.", _AGAIN)
    return packets


def check_ending(path: str, stream: Any, wish: Wish) -> None:
    """Refuse an Ogg file whose last page is not marked as last (RFC 3533, 6): it states no length."""
    if stream.container.format.name != "ogg" or stop_of(wish) < inf:
        return
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - 0x20000))  # a page has at most 65,307 bytes
        tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0 or not tail[last + 5 : last + 6] or not tail[last + 5] & 4:
        raise ClipError(f"{wish.name} is damaged: its end is missing.", _AGAIN)
