"""Clips: frames and their rate, read from any common file and written to a few."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from registry import errors as registry_errors
from registry import files
from vmc_cli import decoding, encoding
from vmc_cli.decoding.pictures import in_order
from vmc_cli.errors import ClipError, DiskError, ExistsError, UsageError

FORMATS = (".mp4", ".gif", ".webp")
"""What `write` makes of a path's suffix; without a suffix it makes a folder of PNGs."""

_STILL_LEVELS = 16
_STILL_SHARE = 5e-4
_CUT_COLOURS = 0.35
_CUT_LEVELS = 20

_LEAST_SHARE = 0.8  # of each side that a crop keeps
_FARTHEST, _PACE = 3, 2  # sixteenths of a side: from where it was, and from frame to frame
_COLOURS = 0.2


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames (F, H, W, 3) uint8 RGB, and how many of them are shown in a second."""

    frames: NDArray[np.uint8]
    fps: float

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[-1] != 3 or self.frames.dtype != np.uint8:
            raise ValueError(f"frames are (F, H, W, 3) uint8, not {self.frames.shape} {self.frames.dtype}")
        if not self.fps > 0:
            raise ValueError(f"fps is positive, not {self.fps}")

    def reversed(self) -> Clip:
        """The same clip, last frame first."""
        return Clip(np.ascontiguousarray(self.frames[::-1]), self.fps)

    def small(self, side: int) -> Clip:
        """The same with at most ``side`` pixels a side."""
        from PIL import Image

        height, width = self.frames.shape[1:3]
        if (longest := max(height, width)) <= side:
            return self
        size = [max(1, round(each * side / longest)) for each in (width, height)]
        frames = (Image.fromarray(frame).resize(size, Image.Resampling.BOX) for frame in self.frames)
        return Clip(np.stack([np.asarray(frame) for frame in frames]), self.fps)

    def recoloured(self) -> list[Clip]:
        """The same motion in other colours: the channels in any order, and the negatives of all six."""
        orders = [np.ascontiguousarray(self.frames[..., list(order)]) for order in permutations(range(3))]
        return [Clip(frames, self.fps) for frames in [*orders[1:], *(255 - each for each in orders)]]

    def panned(self, seed: int, frames: int) -> Clip:
        """A clip of so many ``frames`` in which its first one wanders; what comes in is mirrored at the edge.

        By whole sixteenths of the sides: an autoencoder sees the same thing there, cell by cell.
        """
        source = np.random.default_rng(seed)
        height, width = self.frames.shape[1:3]
        cell = np.maximum(1, np.array([height, width]) // 16)
        edges = [(_FARTHEST * side,) * 2 for side in cell]
        around = np.pad(self.frames[0], [*edges, (0, 0)], mode="reflect")
        at = source.integers(-_FARTHEST, _FARTHEST + 1, 2)
        seen = []
        for _ in range(frames):
            top, left = (_FARTHEST - at) * cell
            seen.append(around[top : top + height, left : left + width])
            at = np.clip(at + source.integers(-_PACE, _PACE + 1, 2), -_FARTHEST, _FARTHEST)
        return Clip(np.stack(seen), self.fps)

    def augmented(self, seed: int) -> Clip:
        """The same motion looked at otherwise: cropped, and in other colours, alike in all frames.

        Never mirrored: that would be another motion.
        """
        from PIL import Image

        source = np.random.default_rng(seed)
        height, width = self.frames.shape[1:3]
        share = source.uniform(_LEAST_SHARE, 1)
        left, top = source.uniform(0, 1 - share, 2) * (width, height)
        box = (left, top, left + share * width, top + share * height)
        cropped = [
            np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR, box))
            for frame in self.frames
        ]
        pixels = np.stack(cropped).astype(np.float32)
        brightness, contrast, saturation = source.uniform(1 - _COLOURS, 1 + _COLOURS, 3)
        grey = pixels.mean(axis=-1, keepdims=True)
        pixels = grey + saturation * (pixels - grey)
        pixels = pixels.mean() + contrast * (pixels - pixels.mean())
        return Clip((brightness * pixels).round().clip(0, 255).astype(np.uint8), self.fps)


def read(
    path: str | os.PathLike[str],
    *,
    frames: int,
    height: int,
    width: int,
    trim: tuple[float | None, float | None] | None = None,
    sample_fps: float | None = None,
) -> Clip:
    """Exactly `frames` frames of a video, an animated picture or a folder of pictures.

    They are spread evenly over the time of the clip or of the part `trim` (from, to; seconds from the first
    frame, None: the clip's own end), or taken `sample_fps` a second from its beginning. Each is turned
    upright, laid over white where transparent, scaled to cover `height` x `width` and cropped around the
    centre. A folder plays at 8 frames a second, in the natural order of its names.

    The file is decoded in a child process with bounded memory and time. Raises ClipError when it cannot be
    read, is damaged, or holds fewer than `frames` frames there; NotFoundError when there is none.
    """
    answer, body = decoding.ask(
        path, "frames", frames=frames, height=height, width=width, trim=trim, sample_fps=sample_fps
    )
    pixels = np.frombuffer(body, dtype=np.uint8)
    if pixels.size != frames * height * width * 3:
        raise ClipError(f"{os.fspath(path)} cannot be decoded: it gave {pixels.size} bytes.")
    return Clip(pixels.reshape(frames, height, width, 3).copy(), float(answer["fps"]))


def read_picture(path: str | os.PathLike[str], *, height: int, width: int) -> Clip:
    """A picture as a clip of one frame, fitted as `read` does; of an animated one the first frame.

    Raises as `read` does.
    """
    _, body = decoding.ask(path, "picture", height=height, width=width)
    pixels = np.frombuffer(body, dtype=np.uint8)
    if pixels.size != height * width * 3:
        raise ClipError(f"{os.fspath(path)} cannot be decoded: it gave {pixels.size} bytes.")
    return Clip(pixels.reshape(1, height, width, 3).copy(), 1.0)


def joined(clips: Sequence[Clip]) -> Clip:
    """Clips of one size, one after the other, at the rate of the first."""
    return Clip(np.concatenate([clip.frames for clip in clips]), clips[0].fps)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """What `write` was given as `metadata`; empty for a file made elsewhere. Raises as `read` does.

    Halves of characters, which no model could read, are replaced by question marks.
    """
    answer, _ = decoding.ask(path, "metadata")
    try:
        found = json.loads(answer["text"])
    except (ValueError, RecursionError):
        return {}
    told = found.items() if isinstance(found, dict) else ()
    return {key: str(text).encode(errors="replace").decode() for key, text in told}


def write(
    clip: Clip, path: str | os.PathLike[str], *, metadata: Mapping[str, str], replace: bool = False
) -> Path:
    """Make the file `path` (.mp4, .gif, .webp), or without a suffix a folder of PNGs, whole or not at all.

    The same clip and metadata give the same bytes: no times or paths go in. Raises UsageError for other
    suffixes, registry.errors.Exists, ExistsError where `replace` would destroy more than a video, DiskError.
    """
    target = Path(path)
    text = json.dumps(dict(metadata), sort_keys=True)
    suffix = target.suffix.lower()
    if suffix and suffix not in FORMATS:
        raise UsageError(
            f"{target} cannot be written: {suffix} is not a format for clips.",
            f"Choose {', '.join(FORMATS)}, or no suffix for a folder of PNGs.",
        )
    _spare_folders(target, replace, ours=not suffix)
    try:
        if suffix:
            encode = {".mp4": encoding.mp4, ".gif": encoding.gif, ".webp": encoding.webp}[suffix]
            files.publish(target, encode(clip.frames, clip.fps, text), replace)
        else:
            _write_folder(clip, target, text, replace)
    except registry_errors.DiskError as error:
        raise DiskError(error.message, "Choose another place for it.") from error
    return target


def sheet(
    rows: Sequence[Clip], path: str | os.PathLike[str], labels: Sequence[str] = (), replace: bool = False
) -> Path:
    """Write a PNG for people to look at: a clip a row, its frames side by side, a line of text above each."""
    target = Path(path)
    files.publish(target, encoding.sheet([clip.frames for clip in rows], labels), replace)
    return target


def digest(path: str | os.PathLike[str]) -> str:
    """The sha256 of a clip's file in hex digits; of a folder: over the digests of its pictures in order."""
    name = os.fspath(path)
    decoding.check_kind(name)
    try:
        if not os.path.isdir(name):
            return _sha256(name).hexdigest()
        whole = hashlib.sha256()
        for picture in in_order(name):
            whole.update(_sha256(picture).digest())
        return whole.hexdigest()
    except OSError as error:
        raise ClipError(f"{name} cannot be read: {error.strerror}.") from None


def is_still(clip: Clip) -> bool:
    """Whether nothing moves: hardly a pixel ever changes by more than compression noise does."""
    span = clip.frames.max(axis=0).astype(np.int16) - clip.frames.min(axis=0)
    return bool((span.max(axis=-1) > _STILL_LEVELS).mean() < _STILL_SHARE)


def find_cut(clip: Clip) -> float | None:
    """Where the picture changes at once, in seconds from the clip's beginning; None where it flows.

    A change counts when the colours on the screen (512 bins) are mostly others, unlike in the rest of the
    clip, and when pixels change too, so that a lamp or an exposure is none.
    """
    levels = (clip.frames >> 5).astype(np.uint16)
    codes = levels[..., 0] << 6 | levels[..., 1] << 3 | levels[..., 2]
    bins = np.stack([np.bincount(code.ravel(), minlength=512) for code in codes]) / codes[0].size
    colours = np.abs(np.diff(bins, axis=0)).sum(axis=1) / 2
    place = int(colours.argmax()) if len(colours) else 0
    if len(colours) < 2 or colours[place] < max(_CUT_COLOURS, 4 * np.median(np.delete(colours, place))):
        return None
    before, after = clip.frames[place : place + 2].astype(np.int16)
    return (place + 1) / clip.fps if np.abs(after - before).mean() > _CUT_LEVELS else None


def _sha256(path: str) -> hashlib._Hash:
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    return found


def _spare_folders(target: Path, replace: bool, ours: bool) -> None:
    """Never let `replace` take a folder away that holds anything but the PNGs of a clip."""
    if not replace or not target.is_dir():
        return
    if not ours or not all(re.fullmatch(r"[0-9]{4,}\.png", entry.name) for entry in target.iterdir()):
        raise ExistsError(f"{target} is a folder with other things in it.", "Choose another name.")


def _write_folder(clip: Clip, target: Path, text: str, replace: bool) -> None:
    temp = files.temp_name(target)
    files.make_folder(temp)
    try:
        for number, frame in enumerate(clip.frames):
            files.publish(temp / f"{number:04d}.png", encoding.png(frame, text))
        if not replace or not os.path.lexists(target):
            files.adopt(temp, target)
            return
        aside = files.temp_name(target)  # a folder cannot be replaced in one step
        files.move(target, aside)
        try:
            files.adopt(temp, target)
        except BaseException:
            files.move(aside, target)
            raise
        files.discard(aside)
    except BaseException:
        files.discard(temp)
        raise
