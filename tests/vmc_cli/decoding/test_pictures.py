"""Folders of pictures in the order a person would put them, and animated pictures at a browser's pace."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests import footage
from tests.footage import BLUE, GREEN, RED, YELLOW, Pixels
from vmc_cli.decoding import pictures
from vmc_cli.decoding.timeline import Wish
from vmc_cli.errors import ClipError


def wish(frames: int = 8, height: int = 64, width: int = 96, **wishes: Any) -> Wish:
    return Wish("clip", frames, height, width, **wishes)


def folder_of(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(footage.picture(number)).save(path / name)
    return path


def read_folder(path: Path, frames: int = 8) -> list[Pixels]:
    return pictures.read_folder(str(path), wish(frames))[0]


def read_animation(path: Path, kind: str, frames: int = 8, **wishes: Any) -> list[Pixels]:
    return pictures.read_animation(str(path), kind, wish(frames, **wishes))[0]


@pytest.mark.parametrize(
    "names",
    [
        [f"{number}.png" for number in range(12)],
        [f"frame_{number:03d}.png" for number in range(8, 20)],
        ["a1b2.png", "a1b10.png", "a2b1.PNG", "a10.png", "b.bmp", "b1.webp", "b02.png", "b3.png"],
    ],
)
def test_numbers_in_names_count_by_value(tmp_path: Path, names: list[str]) -> None:
    frames = read_folder(folder_of(tmp_path / "clip", names), len(names))
    assert footage.numbers(frames) == list(range(len(names)))


@given(st.lists(st.text("ab01_٣²Å ", max_size=6), max_size=12))
def test_any_names_have_one_order(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=pictures._natural) == sorted(backwards, key=pictures._natural)


def test_a_folder_plays_eight_frames_a_second(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "clip", [f"{number}.png" for number in range(16)])
    frames, fps = pictures.read_folder(str(path), wish(8, trim=(1, 2)))
    assert footage.numbers(frames) == list(range(8, 16))
    assert fps == pytest.approx(8)


def test_what_is_no_picture_is_passed_over(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "clip", [f"{number}.png" for number in range(8)])
    (path / "notes.txt").write_text("x")
    (path / "Thumbs.db").write_bytes(b"\0" * 99)
    (path / "._0.png").write_bytes(b"\0" * 99)
    (path / "masks").mkdir()
    (path / "masks.png").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(path / "5_pipe.png")
    assert footage.numbers(read_folder(path)) == list(range(8))


@pytest.mark.parametrize("damage", [b"", b"nonsense", None], ids=["empty", "nonsense", "cut"])
def test_a_damaged_picture_is_named(tmp_path: Path, damage: bytes | None) -> None:
    path = folder_of(tmp_path / "clip", [f"{number}.png" for number in range(8)])
    whole = (path / "3.png").read_bytes()
    (path / "3.png").write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(ClipError, match=r"clip.3\.png is damaged or no picture"):
        read_folder(path)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "clip", [f"{number}.png" for number in range(8)])
    (path / "8.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ClipError, match=r"clip.8\.png is damaged or no picture"):
        read_folder(path, 9)


@pytest.mark.parametrize("names", [[], ["1.txt"]])
def test_a_folder_without_pictures_is_refused(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "clip"
    path.mkdir()
    for name in names:
        (path / name).write_text("x")
    with pytest.raises(ClipError, match="folder without pictures"):
        read_folder(path)


def test_a_picture_with_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "clip", [f"{number}.png" for number in range(8)])
    Image.new("1", (20_000, 20_000)).save(path / "4.png")
    with pytest.raises(ClipError, match=r"4\.png is 20000 x 20000 pixels"):
        read_folder(path)


def test_an_animation_with_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    path = animate(tmp_path / "clip.gif", [100] * 8)
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", 4000, 4000)
    path.write_bytes(content)
    with pytest.raises(ClipError, match=r"clip is 4000 x 4000 pixels"):
        read_animation(path, "GIF")


def test_a_frame_that_grows_amid_an_animation_is_not_decoded(tmp_path: Path) -> None:
    path = animate(tmp_path / "clip.gif", [100] * 8)
    content = bytearray(path.read_bytes())
    descriptor = content.rindex(b"\x21\xf9\x04") + 8  # of the last frame, after its delay
    content[descriptor : descriptor + 9] = struct.pack("<cHHHH", b"\x2c", 0, 0, 60_000, 60_000)
    path.write_bytes(content)
    with pytest.raises(ClipError, match="damaged"):
        read_animation(path, "GIF")


def test_pictures_of_all_modes_and_sizes_fit_together(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.mkdir()
    flat = Image.new("RGB", (120, 90), (120, 120, 120))
    flat.save(path / "0.png")
    flat.convert("L").resize((33, 77)).save(path / "1.png")
    flat.convert("CMYK").save(path / "2.jpg", quality=100)
    flat.convert("P", palette=Image.Palette.ADAPTIVE).save(path / "3.png")
    Image.fromarray(np.full((90, 120), 120 * 257, np.uint16)).save(path / "4.png")
    Image.merge("LA", [flat.convert("L"), Image.new("L", flat.size, 255)]).save(path / "5.png")
    flat.convert("RGBA").resize((500, 20)).save(path / "6.webp", lossless=True)
    flat.convert("1", dither=Image.Dither.NONE).save(path / "7.bmp")
    frames = read_folder(path)
    assert {frame.shape for frame in frames} == {(64, 96, 3)}
    assert all(footage.near(frame, 120, 2) for frame in frames[:7])


def test_transparent_pictures_lie_on_white(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.mkdir()
    for number, image in enumerate(
        (Image.new("RGBA", (96, 64), (200, 100, 0, 51)), Image.new("LA", (96, 64), (9, 0)))
    ):
        image.save(path / f"{number}.png")
    clear = Image.new("P", (96, 64), 0)
    clear.putpalette([10, 20, 30])
    clear.save(path / "2.png", transparency=0)
    first, second, third = read_folder(path, 3)
    assert footage.near(first, (244, 224, 204), 1)
    assert footage.near(second, 255, 0)
    assert footage.near(third, 255, 0)


@pytest.mark.parametrize(
    ("orientation", "wanted"),
    [
        (1, [RED, GREEN, BLUE, YELLOW]),
        (2, [GREEN, RED, YELLOW, BLUE]),
        (3, [YELLOW, BLUE, GREEN, RED]),
        (6, [BLUE, RED, YELLOW, GREEN]),
        (8, [GREEN, YELLOW, RED, BLUE]),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_camera_s_orientation_is_obeyed(
    tmp_path: Path, orientation: int, wanted: list[tuple[int, int, int]], suffix: str
) -> None:
    path = tmp_path / "clip"
    path.mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number in range(2):
        drawn = Image.fromarray(footage.picture(number, 640, 960))
        drawn.save(path / f"{number}.{suffix}", exif=exif, quality=95)
    size = (96, 64) if orientation > 4 else (64, 96)
    frame = pictures.read_folder(str(path), wish(2, *size))[0][0]
    assert footage.near(footage.corners(frame), wanted, 6)


def test_a_photograph_is_reduced_without_loss_to_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.mkdir()
    y, x = np.mgrid[:1000, :1500]
    wave = np.stack([np.sin(x / 23) * np.cos(y / 31), np.sin((x + y) / 41), np.cos(x / 61 - y / 19)], axis=-1)
    drawn = Image.fromarray((wave * 90 + 128).astype(np.uint8))
    for number in range(2):
        drawn.save(path / f"{number}.jpg", quality=98, subsampling=0)
    reference = np.asarray(drawn.resize((96, 64), Image.Resampling.LANCZOS))
    assert footage.psnr(pictures.read_folder(str(path), wish(2))[0][0], reference) > 40


def animate(path: Path, delays: list[int], **options: Any) -> Path:
    first, *others = [Image.fromarray(footage.picture(number)) for number in range(len(delays))]
    first.save(path, save_all=True, append_images=others, duration=delays, **options)
    return path


@pytest.mark.parametrize(
    ("suffix", "kind", "options"),
    [(".gif", "GIF", {}), (".webp", "WEBP", {"lossless": True}), (".png", "PNG", {})],
)
def test_animated_pictures_keep_their_delays(
    tmp_path: Path, suffix: str, kind: str, options: dict[str, Any]
) -> None:
    path = animate(tmp_path / f"clip{suffix}", [40, 40, 40, 40, 800, 40, 40, 40, 40, 40], **options)
    assert footage.numbers(read_animation(path, kind)) == [0, 4, 4, 4, 4, 4, 4, 6]
    assert footage.numbers(read_animation(path, kind, 4, trim=(0, 0.16))) == [0, 1, 2, 3]


def test_delays_that_are_not_said_are_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = animate(tmp_path / "clip.gif", [0, 10, 0, 10, 0, 10, 0, 10])
    frames, fps = pictures.read_animation(str(path), "GIF", wish(8))
    assert footage.numbers(frames) == list(range(8))
    assert fps == pytest.approx(10)


def test_frames_of_a_gif_that_change_only_a_part_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.gif"
    drawn = [Image.new("RGB", (96, 64), "white") for _ in range(8)]
    for number, image in enumerate(drawn):
        image.paste((255, 0, 0), (8 * number, 16, 8 * number + 16, 48))
    drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=100, disposal=1, optimize=True)
    for frame, image in zip(read_animation(path, "GIF"), drawn, strict=True):
        assert footage.near(frame, np.asarray(image), 2)


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".gif", "GIF"), (".webp", "WEBP"), (".png", "PNG"), (".jpg", "JPEG")]
)
def test_a_single_picture_is_no_clip(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"clip{suffix}"
    Image.fromarray(footage.picture(3)).save(path)
    with pytest.raises(ClipError, match="clip is a single picture"):
        read_animation(path, kind)


@pytest.mark.parametrize(("suffix", "kind"), [(".gif", "GIF"), (".webp", "WEBP"), (".png", "PNG")])
def test_an_animation_cut_anywhere_is_refused(tmp_path: Path, suffix: str, kind: str) -> None:
    path = animate(tmp_path / f"clip{suffix}", [100] * 10)
    whole = path.read_bytes()
    for cut in range(8, len(whole) - 20, 7):  # the last bytes of a PNG carry no pixels
        path.write_bytes(whole[:cut])
        with pytest.raises(ClipError, match="damaged"):
            read_animation(path, kind, 2)


@pytest.mark.parametrize(
    ("suffix", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP"), ("gif", "GIF")]
)
def test_a_single_picture_is_fitted_as_frames_are(tmp_path: Path, suffix: str, kind: str) -> None:
    Image.fromarray(footage.picture(5)).save(tmp_path / f"5.{suffix}")
    found = pictures.read_picture(str(tmp_path / f"5.{suffix}"), kind, wish(1))
    assert found.shape == (64, 96, 3)
    assert footage.numbers([found]) == [5]


@pytest.mark.parametrize("kind", ["", "folder"])
def test_what_is_no_picture_is_told(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ClipError, match="is no picture"):
        pictures.read_picture(str(tmp_path), kind, wish(1))


def test_a_damaged_picture_is_told(tmp_path: Path) -> None:
    Image.fromarray(footage.picture(5)).save(tmp_path / "5.png")
    whole = (tmp_path / "5.png").read_bytes()
    (tmp_path / "5.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipError, match="clip is damaged or no picture"):
        pictures.read_picture(str(tmp_path / "5.png"), "PNG", wish(1))
