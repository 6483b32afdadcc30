"""Videos of many kinds come out upright and in their own colours."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import footage
from tests.footage import BLUE, GREEN, RED, YELLOW, Pixels
from vmc_cli.decoding import video
from vmc_cli.decoding.timeline import Wish


def read(path: Path, frames: int = 8, height: int = 64, width: int = 96, **wishes: Any) -> list[Pixels]:
    return video.read(str(path), Wish("clip", frames, height, width, **wishes))[0]


@pytest.mark.parametrize(
    ("degrees", "wanted"),
    [
        (0, [RED, GREEN, BLUE, YELLOW]),
        (90, [GREEN, YELLOW, RED, BLUE]),  # counterclockwise
        (180, [YELLOW, BLUE, GREEN, RED]),
        (270, [BLUE, RED, YELLOW, GREEN]),
    ],
)
def test_a_turned_camera_gives_upright_frames(
    tmp_path: Path, degrees: int, wanted: list[tuple[int, int, int]]
) -> None:
    clip = footage.film(tmp_path / "clip.mp4", footage.pictures(8), rotation=degrees)
    height, width = (96, 64) if degrees in (90, 270) else (64, 96)
    frames = read(clip, height=height, width=width)
    assert frames[0].shape == (height, width, 3)
    assert footage.near(footage.corners(frames[0]), wanted)
    assert footage.numbers(frames) == list(range(8))


def test_a_mirrored_display_matrix_is_obeyed(tmp_path: Path) -> None:
    clip = footage.film(tmp_path / "clip.mp4", footage.pictures(8))
    content = clip.read_bytes()
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = content.rindex(plain)  # the track's; the movie has one of its own
    mirrored = struct.pack(">9i", -1 << 16, 0, 0, 0, 1 << 16, 0, 96 << 16, 0, 1 << 30)
    clip.write_bytes(content[:place] + mirrored + content[place + 36 :])
    assert footage.near(footage.corners(read(clip)[0]), [GREEN, RED, YELLOW, BLUE])


@pytest.mark.parametrize(
    "made",
    [
        {"matrix": 5},
        {"matrix": 1},
        {"matrix": 5, "full": True},
        {"matrix": 1, "full": True},
        {"matrix": 5, "tagged": False},
        {"form": "yuv420p"},
        {"form": "yuv444p10le"},
        {"form": "yuv420p", "codec": "mpeg4", "options": {"qmin": "2", "qmax": "2"}},
        {"codec": "libx264rgb", "form": "rgb24", "tagged": False},
        {"suffix": ".mkv", "codec": "ffv1", "form": "yuv422p"},
        {"suffix": ".mov", "codec": "prores_ks", "form": "yuv422p10le"},
        {"suffix": ".webm", "codec": "libvpx", "form": "yuv420p", "options": {"b": "2M"}},
        {
            "suffix": ".webm",
            "codec": "libvpx-vp9",
            "form": "yuv420p",
            "options": {"b": "2M", "cpu-used": "8"},
        },
        {"suffix": ".avi", "codec": "mjpeg", "form": "yuvj444p", "options": {"q": "2"}, "full": True},
        {"suffix": ".ts", "form": "yuv420p"},
    ],
    ids=lambda made: "-".join(str(value) for value in made.values()),
)
def test_colours_and_order_survive_every_container_and_format(tmp_path: Path, made: dict[str, Any]) -> None:
    made = dict(made)
    clip = footage.film(tmp_path / f"clip{made.pop('suffix', '.mp4')}", footage.pictures(16), **made)
    frames = read(clip)
    assert footage.near(footage.corners(frames[0]), [RED, GREEN, BLUE, YELLOW])
    assert footage.numbers(frames) == list(range(0, 16, 2))


def test_large_untagged_frames_are_taken_for_hd_colours(tmp_path: Path) -> None:
    frames = footage.pictures(8, height=720, width=320)
    clip = footage.film(
        tmp_path / "clip.mp4", frames, matrix=1, tagged=False, options={"qp": "1", "preset": "ultrafast"}
    )
    assert footage.near(footage.corners(read(clip, width=32)[0]), [RED, GREEN, BLUE, YELLOW])


def test_gray_stays_gray(tmp_path: Path) -> None:
    frames = [np.full((64, 96), 30 * number, np.uint8) for number in range(8)]
    clip = footage.film(tmp_path / "c.mkv", frames, codec="ffv1", form="gray", source="gray", tagged=False)
    for number, frame in enumerate(read(clip)):
        assert footage.near(frame, 30 * number, 1)


@pytest.mark.parametrize(
    ("suffix", "codec", "form"), [(".mov", "png", "rgba"), (".webm", "libvpx-vp9", "yuva420p")]
)
def test_transparent_parts_become_white(tmp_path: Path, suffix: str, codec: str, form: str) -> None:
    frames = []
    for number in range(8):
        frame = np.zeros((64, 96, 4), np.uint8)
        frame[16:48, 8 * number : 8 * number + 32] = (*RED, 255)
        frames.append(frame)
    options = {"b": "2M"} if codec == "libvpx-vp9" else {}
    clip = footage.film(
        tmp_path / f"clip{suffix}",
        frames,
        codec=codec,
        form=form,
        source="rgba",
        tagged=False,
        options=options,
    )
    first = read(clip)[0]
    assert footage.near(first[4:12], 255, 3)
    assert footage.near(first[24:40, 8:24], RED, 8)


def test_half_transparent_is_half_white(tmp_path: Path) -> None:
    frames = [np.tile(np.array([200, 100, 0, 51], np.uint8), (64, 96, 1))] * 8
    clip = footage.film(tmp_path / "c.mov", frames, codec="png", form="rgba", source="rgba", tagged=False)
    assert footage.near(read(clip)[0], (244, 224, 204), 1)


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2)])
def test_pixels_that_are_not_square_are_stretched(tmp_path: Path, aspect: Fraction) -> None:
    clip = footage.film(tmp_path / "clip.mp4", footage.pictures(8, 64, 64), aspect=aspect)
    wide = (64, 128) if aspect > 1 else (128, 64)
    frame = read(clip, height=wide[0], width=wide[1])[0]  # nothing to crop, if it is obeyed
    assert footage.near(footage.corners(frame), [RED, GREEN, BLUE, YELLOW])
    edges = np.abs(np.diff(frame[wide[0] // 2].astype(int).sum(axis=1)))
    assert sorted(np.argsort(edges)[-2:]) == pytest.approx([wide[1] // 4 - 1, 3 * wide[1] // 4 - 1], abs=1)


@pytest.mark.parametrize(("height", "width"), [(48, 48), (16, 80), (100, 30), (337, 199)])
def test_fitting_is_a_good_resampling_of_the_middle(tmp_path: Path, height: int, width: int) -> None:
    from PIL import Image, ImageOps

    y, x = np.mgrid[:243, :431]
    wave = np.stack([np.sin(x / 9) * np.cos(y / 13), np.sin((x + y) / 17), np.cos(x / 29 - y / 7)], axis=-1)
    drawn = (wave * 90 + 128).astype(np.uint8)
    clip = footage.film(tmp_path / "clip.mp4", [drawn] * 2)
    reference = ImageOps.fit(Image.fromarray(drawn), (width, height), Image.Resampling.LANCZOS)
    assert footage.psnr(read(clip, 2, height, width)[0], np.asarray(reference)) > 38


def test_woven_fields_are_taken_apart(tmp_path: Path) -> None:
    frames = []
    for number in range(8):  # each line shows a bar elsewhere than its neighbours do
        frame = np.zeros((64, 96, 3), np.uint8)
        frame[::2, 8 * number : 8 * number + 16] = 255
        frame[1::2, 8 * number + 24 : 8 * number + 40] = 255
        frames.append(frame)
    options = {"qp": "1", "x264-params": "tff=1"}
    clip = footage.film(tmp_path / "clip.mp4", frames, options=options)
    row = read(clip)[0].mean(axis=(0, 2))
    assert row[4:12].min() > 240  # the bar of one field in full, of the other none
    assert row[28:36].max() < 15


@pytest.mark.parametrize("curve", [16, 18])
def test_high_dynamic_range_is_toned_down(tmp_path: Path, curve: int) -> None:
    """Gray stays gray, darker stays darker, and diffuse white is nearly white."""
    from vmc_cli.decoding.pixels import _tone_mapped

    # Signals of BT.2408's 203 nits for diffuse white, and of 26 nits (18 % gray at 38 % for HLG, PQ alike).
    white, gray = (0.58, 0.38) if curve == 16 else (0.75, 0.38)
    ramp = np.repeat(np.array([0, gray, white, 1.0])[None, :, None] * 65535, 3, axis=2).astype(np.uint16)
    found = _tone_mapped(ramp, hlg=curve == 18, wide=True)[0].astype(int)
    assert np.ptp(found, axis=1).max() <= 2
    levels = found.mean(axis=1)
    assert levels[0] <= 1
    assert 95 < levels[1] < 150
    assert 240 < levels[2] < 253
    assert levels[3] >= 254
