"""From any decoded frame to upright RGB of the wished size, along one path.

alpha -> over white | interlaced -> one field | scaled to cover (Lanczos, exact chroma) -> HDR tone-mapped
| centre crop | turned as the display matrix says. Wide-gamut material without an HDR curve is read as BT.709.
"""

from __future__ import annotations

import struct
from math import ceil
from typing import TYPE_CHECKING, Any

from vmc_cli.errors import ClipError

from .timeline import Wish

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Numbers of ITU-T H.273, as FFmpeg uses them.
_MATRIX_601, _MATRIX_709 = 5, 1
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_LIMITED = 1
_PQ, _HLG = 16, 18
_WIDE_GAMUT = (9, 2)  # BT.2020, and not stated: with an HDR curve it is BT.2020
_LANCZOS_EXACT = 0x200 | 0x2000 | 0x4000 | 0x40000
"""SWS_LANCZOS, FULL_CHR_H_INT, FULL_CHR_H_INP and ACCURATE_RND; PyAV has names for them since version 18."""

_HD_LINES = 720
"""From this height on, frames that do not state their matrix are taken for BT.709, below for BT.601."""

_WIDEST = 16_384
"""Longest side of the scaled frame, before the crop: a bound for absurd shapes."""


def fitted(frame: Any, wish: Wish, aspect: float) -> NDArray[np.uint8]:
    """`frame`, a PyAV VideoFrame of pixels `aspect` times as wide as high, as upright (height, width, 3)."""
    import numpy as np

    if frame.is_corrupt:
        raise ClipError(
            f"{wish.name} is damaged: the decoder had to make up parts of a frame.",
            "Copy or download it again; a part may be whole: --trim FROM:TO",
        )
    turned, mirrored_rows, mirrored_columns = _orientation(frame)
    height, width = (wish.width, wish.height) if turned else (wish.height, wish.width)
    scale = max(height / frame.height, width / (frame.width * aspect))
    cover = (
        max(height, ceil(frame.height * scale - 1e-6)),
        max(width, ceil(frame.width * aspect * scale - 1e-6)),
    )
    if max(cover) > _WIDEST:
        raise ClipError(f"{wish.name} is too narrow: {frame.width} x {frame.height} pixels.", "Crop it.")
    curve, wide = frame.color_trc, frame.color_primaries in _WIDE_GAMUT
    interlaced = frame.interlaced_frame
    if any(component.is_alpha for component in frame.format.components):
        frame = _over_white(frame)
    if interlaced:
        frame = _one_field(frame)
    pixels: NDArray[Any] = _converted(frame, "rgb48le" if curve in (_PQ, _HLG) else "rgb24", *cover)
    top, left = (cover[0] - height) // 2, (cover[1] - width) // 2
    pixels = pixels[top : top + height, left : left + width]
    if curve in (_PQ, _HLG):
        pixels = _tone_mapped(pixels, hlg=curve == _HLG, wide=wide)
    if turned:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: -1 if mirrored_rows else 1, :: -1 if mirrored_columns else 1])


def _converted(frame: Any, form: str, height: int = 0, width: int = 0) -> NDArray[Any]:
    """`frame` as an array in FFmpeg's pixel format `form`, scaled unless height and width are 0."""
    untagged = _MATRIX_709 if frame.height >= _HD_LINES else _MATRIX_601
    pixels: NDArray[Any] = frame.reformat(
        width=width or None,
        height=height or None,
        format=form,
        src_colorspace=_MATRICES.get(frame.colorspace, untagged),
        src_color_range=frame.color_range or _LIMITED,  # of gray and RGB the scaler knows that it is full
        interpolation=_LANCZOS_EXACT,
        threads=1,
    ).to_ndarray()
    return pixels


def _over_white(frame: Any) -> Any:
    """Transparent parts become white, as on a page."""
    import av
    import numpy as np

    rgba = _converted(frame, "rgba")
    alpha = rgba[..., 3:].astype(np.uint16)
    flat = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return av.VideoFrame.from_ndarray(flat.astype(np.uint8), format="rgb24")


def _one_field(frame: Any) -> Any:
    """Every other line: two moments woven into one picture are worse than half the lines."""
    import av
    import numpy as np

    return av.VideoFrame.from_ndarray(np.ascontiguousarray(_converted(frame, "rgb24")[::2]), format="rgb24")


def _orientation(frame: Any) -> tuple[bool, bool, bool]:
    """Whether to swap rows and columns, then to reverse rows, then columns.

    The display matrix sends a pixel (x, y) to (a x + c y, b x + d y); see libavutil/display.h.
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX" and data.buffer_size >= 36:
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            turned = abs(a) + abs(d) < abs(b) + abs(c)
            return (True, b < 0, c < 0) if turned else (False, d < 0, a < 0)
    return False, False, False


def _tone_mapped(pixels: NDArray[np.uint16], *, hlg: bool, wide: bool) -> NDArray[np.uint8]:
    """PQ (SMPTE ST 2084) or HLG (ARIB STD-B67) to sRGB, diffuse white at 203 nits (ITU-R BT.2408)."""
    import numpy as np

    signal = pixels.astype(np.float64) / 65535
    if hlg:
        bright = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(signal <= 0.5, signal**2 / 3, bright)
        luma = scene @ np.array([0.2627, 0.6780, 0.0593])
        nits = 1000 * scene * np.maximum(luma, 1e-6)[..., None] ** 0.2
    else:
        power = signal ** (1 / 78.84375)
        ratio = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        nits = 10_000 * ratio ** (1 / 0.1593017578125)
    light = nits / 203
    if wide:  # BT.2020 primaries to BT.709's
        light = light @ np.array(
            [[1.6605, -0.1246, -0.0182], [-0.5876, 1.1329, -0.1006], [-0.0728, -0.0083, 1.1187]]
        )
    light = np.maximum(light, 0)
    knee = 0.75  # up to here nothing changes; brighter light approaches white without clipping
    peak = light.max(axis=-1, keepdims=True)
    rolled = np.where(peak <= knee, peak, knee + (1 - knee) * np.tanh((peak - knee) / (1 - knee)))
    light = light * rolled / np.maximum(peak, 1e-9)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    rounded: NDArray[np.uint8] = (np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8)
    return rounded
