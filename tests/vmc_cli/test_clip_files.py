"""Clips go out whole, come back as they were, and are never lost to a name."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from registry.errors import Exists
from tests import footage
from tests.vmc_cli.test_clip import drawn, smooth
from vmc_cli import clip, encoding
from vmc_cli.clip import Clip
from vmc_cli.errors import ClipError, DiskError, ExistsError, UsageError

METADATA = {
    "prompt": 'a "chicken" is walking, 鸡在走路 🦆\nin the city',
    "motion": "seagull_walk",
    "seed": "33",
    "version": "0.1.0",
}
LOSSLESS = (np.inf, np.inf)
NAMES = ("clip.mp4", "clip.gif", "clip.webp", "clip")


def again(path: Path, like: Clip) -> Clip:
    count, height, width, _ = like.frames.shape
    return clip.read(path, frames=count, height=height, width=width)


@pytest.mark.parametrize(
    ("name", "decibels"), [("c.mp4", (28, 38)), ("c.gif", (35, 25)), ("c.webp", LOSSLESS), ("c", LOSSLESS)]
)
def test_what_is_written_reads_back(tmp_path: Path, name: str, decibels: Sequence[float]) -> None:
    # Sharp edges between strong colours suffer from 4:2:0, all colours of the rainbow from a palette.
    for made, least in zip((drawn(), smooth()), decibels, strict=True):
        path = clip.write(made, tmp_path / name, metadata={}, replace=True)
        found = again(path, made)
        assert footage.psnr(found.frames, made.frames) >= least
        assert found.fps == pytest.approx(made.fps, rel=0.01)


def test_colours_are_the_same_in_an_mp4(tmp_path: Path) -> None:
    strong = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]
    colours = [*strong, (128, 128, 128), (250, 180, 30)]
    made = Clip(np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in colours]), 8)
    found = again(clip.write(made, tmp_path / "clip.mp4", metadata={}), made)
    for frame, colour in zip(found.frames, colours, strict=True):
        assert footage.near(frame, colour, 3)


@pytest.mark.parametrize("name", NAMES[:3])  # a folder of pictures has no rate
@pytest.mark.parametrize("fps", [3, 7.5, 8, 12, 23.976, 30])
def test_the_rate_is_kept(tmp_path: Path, name: str, fps: float) -> None:
    made = drawn(16, fps=fps)
    found = again(clip.write(made, tmp_path / name, metadata={}), made)
    assert footage.numbers(list(found.frames)) == list(range(16))
    assert found.fps == pytest.approx(fps, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_metadata_reads_back(tmp_path: Path, name: str) -> None:
    path = clip.write(drawn(), tmp_path / name, metadata=METADATA)
    assert clip.read_metadata(path) == METADATA


def test_half_a_character_in_metadata_is_replaced(tmp_path: Path) -> None:
    path = clip.write(drawn(), tmp_path / "clip.webp", metadata={"prompt": "a caf\udce9"})
    assert clip.read_metadata(path) == {"prompt": "a caf?"}


def test_metadata_that_is_no_table_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("[" * 100_000, "[]", "{", '"a"'):
        monkeypatch.setattr(clip.decoding, "ask", lambda *_, text=text: ({"text": text}, b""))
        assert clip.read_metadata(tmp_path / "clip.mp4") == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_long_prompt_fits(tmp_path: Path, name: str) -> None:
    path = clip.write(drawn(2), tmp_path / name, metadata={"prompt": "walking " * 2500})
    assert clip.read_metadata(path) == {"prompt": "walking " * 2500}


def test_files_from_elsewhere_have_no_metadata(tmp_path: Path) -> None:
    plain = footage.film(tmp_path / "a.mp4", footage.pictures(8))
    foreign = footage.film(tmp_path / "b.mp4", footage.pictures(8), metadata={"comment": "holiday [1]"})
    listed = footage.film(tmp_path / "c.mp4", footage.pictures(8), metadata={"comment": "[1]"})
    assert [clip.read_metadata(path) for path in (plain, foreign, listed)] == [{}, {}, {}]
    (tmp_path / "d.mp4").write_bytes(b"nonsense")
    with pytest.raises(ClipError):
        clip.read_metadata(tmp_path / "d.mp4")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_clip_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    stem, suffix = os.path.splitext(name)
    first, second = (
        clip.write(smooth(), tmp_path / f"{stem}{number}{suffix}", metadata=dict(pairs))
        for number, pairs in enumerate([METADATA.items(), reversed(METADATA.items())])
    )
    assert clip.digest(first) == clip.digest(second)


def test_an_mp4_depends_on_nothing_but_its_frames() -> None:
    dice, junk, found = random.Random(0), [b""], set()
    for _ in range(40):  # among other memory each time
        junk = [*junk[-20:], dice.randbytes(dice.randrange(300_000))]
        found.add(encoding.mp4(smooth().frames, 8, ""))
    assert len(found) == 1


@pytest.mark.parametrize(("height", "width"), [(63, 97), (64, 97), (1, 1), (17, 2)])
def test_odd_sizes_are_padded_not_squeezed(tmp_path: Path, height: int, width: int) -> None:
    import av

    made = smooth(height, width)
    path = clip.write(made, tmp_path / "clip.mp4", metadata={})
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert frames[0].shape == (height + height % 2, width + width % 2, 3)
    assert footage.psnr(np.stack(frames)[:, :height, :width], made.frames) > 30


def test_an_mp4_plays_everywhere_and_at_once(tmp_path: Path) -> None:
    import av

    path = clip.write(drawn(), tmp_path / "clip.mp4", metadata={})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.frames == 8
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries) == (1, 1, 1, 1)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert b"Lavf" not in content  # another version of the muxer, the same bytes


def test_without_x264_there_is_still_an_mp4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    path = clip.write(smooth(), tmp_path / "clip.mp4", metadata=METADATA)
    assert footage.psnr(again(path, smooth()).frames, smooth().frames) > 35
    assert clip.read_metadata(path) == METADATA


@pytest.mark.parametrize("fps", [8, 12.5, 15, 24, 30])
def test_a_gif_keeps_time(tmp_path: Path, fps: float) -> None:
    from PIL import Image

    path = clip.write(drawn(24, fps=fps), tmp_path / "clip.gif", metadata={})
    with Image.open(path) as image:
        assert image.n_frames == 24
        assert image.info["loop"] == 0
        delays = []
        for number in range(24):
            image.seek(number)
            delays.append(image.info["duration"])
    assert sum(delays) == pytest.approx(24 / fps * 1000, abs=10)
    assert max(delays) - min(delays) <= 10


def test_a_gif_has_one_palette(tmp_path: Path) -> None:
    path = clip.write(smooth(), tmp_path / "clip.gif", metadata={})
    pixels = again(path, smooth()).frames.reshape(-1, 3)
    assert 128 < len(np.unique(pixels, axis=0)) <= 256


@pytest.mark.parametrize("name", NAMES)
def test_what_exists_is_never_overwritten_unasked(tmp_path: Path, name: str) -> None:
    path = clip.write(drawn(), tmp_path / name, metadata={"n": "1"})
    with pytest.raises(Exists):
        clip.write(smooth(), path, metadata={"n": "2"})
    assert clip.read_metadata(path) == {"n": "1"}
    clip.write(smooth(), path, metadata={"n": "3"}, replace=True)
    assert clip.read_metadata(path) == {"n": "3"}
    assert os.listdir(tmp_path) == [name]


def test_a_shorter_folder_replaces_a_longer_one_whole(tmp_path: Path) -> None:
    clip.write(drawn(12), tmp_path / "clip", metadata={})
    clip.write(drawn(3), tmp_path / "clip", metadata={}, replace=True)
    assert sorted(os.listdir(tmp_path / "clip")) == ["0000.png", "0001.png", "0002.png"]


@pytest.mark.parametrize("name", ["clip", "clip.mp4"])
def test_a_folder_with_other_things_is_never_replaced(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "0000.png").write_bytes(b"x")
    (folder / "thesis.tex").write_text("x")
    with pytest.raises(ExistsError, match="other things in it"):
        clip.write(drawn(), folder, metadata={}, replace=True)
    assert sorted(os.listdir(folder)) == ["0000.png", "thesis.tex"]


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_write_leaves_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskError) as caught:
        clip.write(drawn(), tmp_path / name, metadata={})
    assert caught.value.code == 8
    assert "another place" in caught.value.hint
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError):
        clip.write(drawn(), tmp_path / "gone" / "clip.mp4", metadata={})


@pytest.mark.parametrize("name", ["clip.avi", "clip.png", "clip.mp4.txt"])
def test_other_suffixes_are_refused_with_the_list(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        clip.write(drawn(), tmp_path / name, metadata={})
    assert ".mp4, .gif, .webp" in caught.value.hint
    assert os.listdir(tmp_path) == []


def test_a_suffix_in_capitals_counts(tmp_path: Path) -> None:
    path = clip.write(drawn(), tmp_path / "CLIP.MP4", metadata=METADATA)
    assert clip.read_metadata(path) == METADATA
