"""Frames into the bytes of an mp4, GIF, WebP or PNG. The same frames and text give the same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_DESCRIPTION = 0x010E  # EXIF ImageDescription
_LANCZOS_EXACT = (
    0x200 | 0x4000 | 0x40000
)  # SWS_LANCZOS, FULL_CHR_H_INP, ACCURATE_RND: no names before PyAV 18

X264_OPTIONS = {"crf": "12", "preset": "slow", "x264-params": "mbtree=0"}
"""Hardly a loss to be seen, at three to five times the size of a download.

mbtree with B-frames reads memory that nobody wrote: on small frames one encoding in three came out with
other bytes (x264 165, with assembly).
"""

MPEG4_OPTIONS = {"flags": "+qscale", "global_quality": "236"}
"""Where FFmpeg was built without x264: quantiser 2, in lambda units of 118."""


def mp4(frames: NDArray[np.uint8], fps: float, text: str) -> bytes:
    """H.264 4:2:0, which plays everywhere; `text` is its comment. An odd side grows by a repeated line."""
    import av
    import numpy as np

    x264 = "libx264" in av.codecs_available
    codec, options = ("libx264", X264_OPTIONS) if x264 else ("mpeg4", MPEG4_OPTIONS)
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), "edge")
    buffer = io.BytesIO()
    container_options = {
        "fflags": "+bitexact",  # no version of the muxer
        # The index goes first, into space left for it, so that a browser can start at once.
        "moov_size": str(8192 + 64 * len(frames) + 2 * len(text)),
    }
    with av.open(buffer, "w", format="mp4", options=container_options) as container:
        container.metadata["comment"] = text
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # x264's bytes depend on the number of threads
        context.color_range, context.colorspace = 1, 1  # limited, BT.709: said, so that no player guesses
        context.color_primaries, context.color_trc = 1, 1
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace="ITU709",
                dst_color_range=1,
                interpolation=_LANCZOS_EXACT,
                threads=1,
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def gif(frames: NDArray[np.uint8], fps: float, text: str) -> bytes:
    """Looping, with one palette for the whole clip, so that nothing flickers; `text` is its comment."""
    from PIL import Image

    palette = _palette(frames)
    pictures = [Image.fromarray(frame).quantize(palette=palette) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[10 * delay for delay in _delays(len(frames), 100 / fps, least=2)],
        loop=0,
        comment=text.encode(),
    )
    return buffer.getvalue()


def webp(frames: NDArray[np.uint8], fps: float, text: str) -> bytes:
    """Looping, without loss; `text` is its EXIF description."""
    from PIL import Image

    exif = Image.Exif()
    exif[_DESCRIPTION] = text
    buffer = io.BytesIO()
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=_delays(len(frames), 1000 / fps, least=11),
        loop=0,
        lossless=True,
        quality=50,  # effort, not loss
        exif=exif,
    )
    return buffer.getvalue()


def png(pixels: NDArray[np.uint8], text: str) -> bytes:
    """One frame (H, W, 3); `text` is its Comment."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", text)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def sheet(rows: Sequence[NDArray[np.uint8]], labels: Sequence[str] = (), gap: int = 2) -> bytes:
    """A PNG of clips (F, H, W, 3), one a row, frames side by side, the row's label above it."""
    from PIL import Image, ImageDraw, ImageFont

    line = 16 if labels else 0
    width = max(len(frames) * (frames.shape[2] + gap) for frames in rows) + gap
    height = sum(frames.shape[1] + gap + line for frames in rows) + gap
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    top = gap
    for number, frames in enumerate(rows):
        if number < len(labels):
            draw.text((gap, top), labels[number], fill="black", font=ImageFont.load_default(12))
        for place, frame in enumerate(frames):
            page.paste(Image.fromarray(frame), (gap + place * (frames.shape[2] + gap), top + line))
        top += frames.shape[1] + gap + line
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _palette(frames: NDArray[np.uint8]) -> Image.Image:
    """The 256 colours that stand best for all frames, from about 130,000 of their pixels.

    Of Pillow's ways this one came nearest on real clips, by 2 dB or more over its default when dithered.
    """
    import numpy as np
    from PIL import Image

    pixels = frames.reshape(-1, 3)
    pixels = pixels[:: len(pixels) // 131_072 + 1]
    side = int(len(pixels) ** 0.5)
    square = Image.fromarray(np.ascontiguousarray(pixels[: side * side].reshape(side, side, 3)))
    return square.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3)


def _delays(count: int, unit: float, least: int) -> list[int]:
    """`count` whole delays that stay in step with multiples of `unit`, each at least `least`."""
    marks = [round(number * unit) for number in range(count + 1)]
    return [max(least, later - sooner) for sooner, later in pairwise(marks)]
