"""What a clip is, and what is seen in it without a network."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from registry.errors import Exists
from tests import footage
from vmc_cli import clip
from vmc_cli.clip import Clip
from vmc_cli.recipe import COLOURINGS


def drawn(count: int = 8, height: int = 64, width: int = 96, fps: float = 8) -> Clip:
    return Clip(np.stack(footage.pictures(count, height, width)), fps)


def smooth(height: int = 64, width: int = 96) -> Clip:
    """Colours that flow, as in a photograph."""
    t, y, x = np.mgrid[:8, :height, :width]
    wave = np.stack([np.sin(x / 9 + t / 3), np.cos(y / 7 - t / 5), np.sin((x + y) / 13 + t / 4)], axis=-1)
    return Clip((wave * 100 + 128).astype(np.uint8), 8)


def test_reversed_is_last_frame_first() -> None:
    made = drawn()
    assert footage.numbers(list(made.reversed().frames)) == list(range(7, -1, -1))
    assert made.reversed().fps == made.fps
    assert np.array_equal(made.reversed().reversed().frames, made.frames)


@pytest.mark.parametrize(
    ("shape", "kind", "fps"),
    [
        ((8, 64, 96), np.uint8, 8),
        ((8, 64, 96, 4), np.uint8, 8),
        ((8, 4, 4, 3), np.float32, 8),
        ((8, 4, 4, 3), np.uint8, 0),
    ],
)
def test_only_frames_of_the_stated_form_make_a_clip(shape: tuple[int, ...], kind: type, fps: float) -> None:
    with pytest.raises(ValueError):
        Clip(np.zeros(shape, kind), fps)


def test_a_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    import hashlib

    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        clip.write(drawn(11), folder, metadata={})
    assert clip.digest(one) == clip.digest(other)
    (other / "notes.txt").write_text("not a picture")
    assert clip.digest(one) == clip.digest(other)
    (other / "0003.png").rename(other / "0099.png")  # another order is another clip
    assert clip.digest(one) != clip.digest(other)
    file = one / "0000.png"
    assert clip.digest(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_still_clip_is_known_by_its_lack_of_change() -> None:
    noise = np.random.default_rng(0).integers(-3, 4, (8, 64, 64, 3))
    still = np.clip(footage.picture(5, 64, 64) + noise, 0, 255).astype(np.uint8)
    assert clip.is_still(Clip(still, 8))
    moving = still.copy()
    for number in range(8):  # three pixels wide
        moving[number, 30:33, 6 * number : 6 * number + 3] = 255
    assert not clip.is_still(Clip(moving, 8))


def test_a_cut_is_found_where_it_is() -> None:
    flowing = smooth()
    assert clip.find_cut(flowing) is None
    assert clip.find_cut(drawn()) is None
    cut = Clip(np.concatenate([flowing.frames[:3], 255 - flowing.frames[3:] // 4]), 4)
    assert clip.find_cut(cut) == pytest.approx(0.75)
    dimmed = Clip(np.concatenate([flowing.frames[:3], flowing.frames[3:] - 6]), 4)
    assert clip.find_cut(dimmed) is None


def test_a_sheet_shows_a_clip_a_row(tmp_path: Path) -> None:
    from PIL import Image

    made = drawn(4, 32, 48)
    rows = [made, made.reversed(), drawn(2, 16, 16)]
    path = clip.sheet(rows, tmp_path / "sheet.png", ["learned", "backward", "small"])
    with Image.open(path) as image:
        page = np.asarray(image)
    assert page.shape[2] == 3
    first = page[18:50, 2:50]
    assert np.array_equal(first, made.frames[0])
    assert np.array_equal(page[18 + 50 : 50 + 50, 2:50], made.frames[3])
    assert page[:18].min() < 128  # the label
    with pytest.raises(Exists):
        clip.sheet([made], path)


def test_a_small_clip_is_the_mean_of_its_pixels_and_one_that_is_small_is_itself() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (2, 128, 256, 3), dtype=np.uint8)
    large = Clip(pixels, 8.0)
    small = large.small(64)
    assert small.frames.shape == (2, 32, 64, 3)
    blocks = pixels.astype(float).reshape(2, 32, 4, 64, 4, 3).mean((2, 4))
    assert np.abs(small.frames - blocks).max() <= 1
    assert large.small(256) is large


def test_a_recoloured_clip_is_the_same_in_each_order_of_the_channels_and_as_their_negatives():
    shown = drawn(3, 16, 24)
    others = shown.recoloured()
    assert len(others) == COLOURINGS
    looks = {shown.frames.tobytes(), *(each.frames.tobytes() for each in others)}
    assert len(looks) == 1 + COLOURINGS
    for each in others:
        assert each.fps == shown.fps
        like = each.frames if each.frames.sum() == shown.frames.sum() else 255 - each.frames
        assert np.array_equal(np.sort(like, axis=-1), np.sort(shown.frames, axis=-1))


@pytest.mark.parametrize("side", [64, 40, 8])
def test_a_panned_picture_wanders_by_whole_sixteenths(side):
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, 2 * side, 3), dtype=np.uint8)
    shown = Clip(pixels, 8.0)
    ways = [_spots(shown.panned(seed, 4).frames, pixels[0]) for seed in range(20)]
    assert len({way[0] for way in ways}) > 10  # of 49
    steps = {tuple(np.subtract(after, before)) for way in ways for before, after in itertools.pairwise(way)}
    assert {abs(each) for step in steps for each in step} == {0, 1, 2}
    assert len(steps) > 15  # of 25
    assert np.array_equal(shown.panned(3, 4).frames, shown.panned(3, 4).frames)
    assert len(shown.panned(3, 1).frames) == 1


def _spots(frames, picture):
    """How many sixteenths lower, and further to the right, each of ``frames`` shows ``picture``."""
    height, width = picture.shape[:2]
    down, right = max(1, height // 16), max(1, width // 16)
    found = []
    for frame in frames:
        assert frame.shape == picture.shape
        [spot] = [
            (y, x)
            for y in range(-3, 4)
            for x in range(-3, 4)
            if np.array_equal(_seen(frame, y * down, x * right), _seen(picture, -y * down, -x * right))
        ]
        found.append(spot)
    return found


def _seen(frame, lower, further):
    """What is left of ``frame`` where so many pixels above, and to the left, come in from outside."""
    height, width = frame.shape[:2]
    rows = slice(max(0, lower), height + min(0, lower))
    return frame[rows, max(0, further) : width + min(0, further)]


def test_an_augmented_clip_is_cropped_and_coloured_alike_in_all_frames_and_never_mirrored():
    ramp = np.broadcast_to(np.linspace(40, 200, 64, dtype=np.uint8)[None, :, None], (64, 64, 3))
    frames = np.stack([ramp, ramp, 240 - ramp])
    shown = Clip(frames, 8.0)
    seen = set()
    for seed in range(30):
        changed = shown.augmented(seed).frames
        assert changed.shape == frames.shape
        assert np.array_equal(changed[0], changed[1])
        columns = changed[0].astype(float).mean(axis=(0, 2))
        assert columns[-1] > columns[0] + 50  # a mirrored ramp would fall
        seen.add(changed.tobytes())
    assert len(seen) == 30
    assert np.array_equal(shown.augmented(3).frames, shown.augmented(3).frames)
    assert np.array_equal(shown.frames, frames)
