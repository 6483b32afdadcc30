"""A damaged video is refused with what is left of it, and what is no video at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import footage
from tests.vmc_cli.decoding.test_video import read
from vmc_cli.decoding import container
from vmc_cli.errors import ClipError


@pytest.mark.parametrize("cut", [0.4, 0.7, 0.9])
@pytest.mark.parametrize(
    ("suffix", "codec", "form"),
    [
        (".mp4", "libx264", "yuv420p"),
        (".mkv", "libx264", "yuv420p"),
        (".avi", "mjpeg", "yuvj420p"),
        (".webm", "libvpx", "yuv420p"),
    ],
)
def test_a_file_cut_short_is_refused_with_what_is_left_of_it(
    tmp_path: Path, suffix: str, codec: str, form: str, cut: float
) -> None:
    # Noise: every frame has its share of the bytes.
    noise = np.random.default_rng(0).integers(0, 255, (24, 64, 96, 3), np.uint8)
    clip = footage.film(tmp_path / f"clip{suffix}", list(noise), codec=codec, form=form, options={"b": "3M"})
    if suffix == ".mp4":
        _index_first(clip)
    clip.write_bytes(clip.read_bytes()[: int(cut * clip.stat().st_size)])
    with pytest.raises(
        ClipError, match=r"clip is damaged: \d+ (of its 24 frames|frames, but not its end,) can"
    ):
        read(clip)
    assert len(read(clip, 2, trim=(0, 0.2))) == 2  # the beginning is whole


def _index_first(clip: Path) -> None:
    import av

    copy = clip.with_suffix(".first.mp4")
    with av.open(str(clip)) as old, av.open(str(copy), "w", options={"movflags": "faststart"}) as new:
        source = old.streams.video[0]
        target = new.add_stream_from_template(source)
        for packet in old.demux(source):
            if packet.dts is not None:
                packet.stream = target
                new.mux(packet)
    copy.replace(clip)


def test_damage_amid_the_file_is_refused_and_leaves_the_rest_usable(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (24, 64, 96, 3), np.uint8)
    clip = footage.film(tmp_path / "clip.mp4", list(noise), options={"qp": "20"})
    content = bytearray(clip.read_bytes())
    begin = content.index(b"mdat") + len(content) // 2
    content[begin : begin + 4000] = bytes(4000)
    clip.write_bytes(content)
    with pytest.raises(ClipError, match=r"clip is damaged: 1[0-4] of its 24 frames can be read"):
        read(clip)
    assert len(read(clip, 4, trim=(0, 0.4))) == 4


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        ("mpeg2video", r"damaged: \d+ of its 24 frames can be read"),
        ("mpeg4", "had to make up parts of a frame"),
    ],
)
def test_damage_is_seen_where_nothing_says_how_long_the_clip_is(
    tmp_path: Path, codec: str, message: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (24, 64, 96, 3), np.uint8)
    clip = footage.film(tmp_path / "clip.ts", list(noise), codec=codec, form="yuv420p", options={"b": "3M"})
    content = bytearray(clip.read_bytes())
    middle = len(content) // 188 // 2 * 188
    for packet in range(middle, middle + 188 * 30, 188):  # the headers of the packets stay
        content[packet + 20 : packet + 188] = bytes(168)
    clip.write_bytes(content)
    with pytest.raises(ClipError, match=message):
        read(clip, 24)
    assert len(read(clip, 4, trim=(0, 0.4))) == 4


def test_frames_with_too_many_pixels_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = footage.film(tmp_path / "clip.mp4", footage.pictures(8))
    monkeypatch.setattr(container, "MOST_PIXELS", 64 * 96 - 1)
    with pytest.raises(ClipError, match="clip is 96 x 64 pixels"):
        read(clip)


def test_a_frame_that_grows_amid_the_stream_is_not_decoded(tmp_path: Path) -> None:
    small = footage.film(tmp_path / "a.ts", footage.pictures(4), form="yuv420p")
    large = footage.film(
        tmp_path / "b.ts",
        [np.zeros((2400, 4096, 3), np.uint8)] * 4,
        form="yuv420p",
        options={"qp": "40", "preset": "ultrafast"},
    )
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(ClipError):
        read(both)


def test_absurdly_narrow_frames_are_refused(tmp_path: Path) -> None:
    clip = footage.film(
        tmp_path / "c.mkv", [np.zeros((16, 4096, 3), np.uint8)] * 8, codec="ffv1", form="yuv444p"
    )
    with pytest.raises(ClipError, match="too narrow: 4096 x 16"):
        read(clip, height=128, width=128)


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    import av

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            target.mux(packet)
    with pytest.raises(ClipError, match="sound but no video"):
        read(path)


def test_formats_outside_the_list_are_named_as_such(tmp_path: Path) -> None:
    clip = footage.film(tmp_path / "clip.flv", footage.pictures(8), codec="flv1", form="yuv420p")
    with pytest.raises(ClipError, match="format that is not read here"):
        read(clip)
