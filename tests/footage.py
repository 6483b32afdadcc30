"""Clips drawn on the spot, in which every frame says its number and which way is up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RED, GREEN, BLUE, YELLOW = (200, 40, 40), (40, 180, 40), (40, 60, 200), (200, 190, 40)
STEP = 10  # levels of gray from one frame to the next

Pixels = NDArray[np.uint8]


def picture(number: int, height: int = 64, width: int = 96) -> Pixels:
    """Red and green above, blue and yellow below, and amid them a square whose gray is the frame's number."""
    found = np.zeros((height, width, 3), np.uint8)
    found[: height // 2, : width // 2], found[: height // 2, width // 2 :] = RED, GREEN
    found[height // 2 :, : width // 2], found[height // 2 :, width // 2 :] = BLUE, YELLOW
    found[height // 4 : -height // 4, width // 4 : -width // 4] = STEP * number
    return found


def pictures(count: int, height: int = 64, width: int = 96) -> list[Pixels]:
    return [picture(number, height, width) for number in range(count)]


def numbers(frames: Sequence[Pixels]) -> list[int]:
    """Which pictures these frames are."""
    middles = [frame[frame.shape[0] // 2 - 4 :][:8, frame.shape[1] // 2 - 4 :][:, :8] for frame in frames]
    return [round(float(middle.mean()) / STEP) for middle in middles]


def corners(frame: Pixels) -> list[tuple[int, ...]]:
    """The colours a little inside the four corners: upper left, upper right, lower left, lower right."""
    y, x = frame.shape[0] // 10, frame.shape[1] // 10
    return [
        tuple(int(level) for level in frame[row, column]) for row in (y, -y - 1) for column in (x, -x - 1)
    ]


def near(found: Any, wanted: Any, levels: int = 4) -> bool:
    return bool(np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max() <= levels)


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal to noise ratio in dB."""
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def film(
    path: Path,
    frames: Sequence[Pixels],
    *,
    codec: str = "libx264",
    fps: float = 10,
    form: str = "yuv444p",
    source: str = "rgb24",
    options: Mapping[str, str] | None = None,
    milliseconds: Sequence[int] | None = None,
    matrix: int = 5,
    full: bool = False,
    tagged: bool = True,
    rotation: int | None = None,
    aspect: Fraction | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Encode `frames`, arrays in the format `source`, with hardly a loss, each at its `milliseconds`."""
    import av

    if options is None:
        options = {"qp": "1"} if codec.startswith("libx264") else {}
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream: Any = container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1001), options=dict(options)
        )
        height, width = frames[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, form
        context = stream.codec_context
        context.thread_count = 1
        if milliseconds is not None:
            context.time_base = Fraction(1, 1000)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        if tagged:
            context.colorspace, context.color_range = matrix, 2 if full else 1
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=source)
            if form != source:
                frame = frame.reformat(
                    format=form,
                    dst_colorspace=matrix,
                    dst_color_range=2 if full else 1,
                    interpolation="LANCZOS",
                )
            if milliseconds is not None:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
