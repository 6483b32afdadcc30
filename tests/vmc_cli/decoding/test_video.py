"""Videos of many kinds come out upright, in their own colours and at the right moments."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import footage
from tests.footage import BLUE, GREEN, RED, YELLOW, Pixels
from vmc_cli.decoding import container, video
from vmc_cli.decoding.timeline import Wish
from vmc_cli.errors import ClipError


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


def test_a_variable_rate_is_sampled_by_time(tmp_path: Path) -> None:
    stay = [0, 40, 80, 120, 160, 200, 1000, 1040, 1080, 1120]
    clip = footage.film(tmp_path / "clip.mkv", footage.pictures(10), fps=25, milliseconds=stay)
    # The clip lasts 1160 ms: one moment each 145 ms, and half a usual frame (20 ms) after it.
    assert footage.numbers(read(clip)) == [0, 4, 5, 5, 5, 5, 5, 6]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_clip_that_starts_late_starts_with_its_first_frame(tmp_path: Path, suffix: str) -> None:
    late = [5000 + 100 * number for number in range(16)]
    clip = footage.film(tmp_path / f"clip{suffix}", footage.pictures(16), milliseconds=late)
    assert footage.numbers(read(clip, trim=(0, 0.8))) == list(range(8))


@pytest.mark.parametrize("extra", ["open-gop=0", "open-gop=1:bframes=5:b-adapt=0", "bframes=0"])
def test_frames_far_apart_are_found_without_decoding_what_lies_between(
    tmp_path: Path, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [footage.picture(number // 32) for number in range(800)]
    options = {"qp": "10", "preset": "ultrafast", "g": "25", "x264-params": f"{extra}:scenecut=0"}
    clip = footage.film(tmp_path / "clip.mp4", frames, options=options)
    monkeypatch.setattr(video, "_by_number", None)  # decoding everything would fail
    assert footage.numbers(read(clip)) == [0, 3, 6, 9, 12, 15, 18, 21]
    assert footage.numbers(read(clip, trim=(40, 60))) == [12, 13, 14, 14, 15, 16, 17, 17]


def test_frames_shown_before_their_key_frame_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [footage.picture((number + 1) // 100 * 3) for number in range(800)]
    x264 = "open-gop=1:bframes=5:b-adapt=0:scenecut=0"
    options = {"qp": "10", "preset": "ultrafast", "g": "100", "x264-params": x264}
    clip = footage.film(tmp_path / "clip.mp4", frames, options=options)
    monkeypatch.setattr(video, "_by_number", None)
    # Frames 99, 199, ...: stored after the key frames 100, 200, ... and leaning on those before, too.
    assert footage.numbers(read(clip, 7, trim=(9.9, 79.9))) == [3, 6, 9, 12, 15, 18, 21]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_packets_without_times_are_counted(tmp_path: Path, codec: str) -> None:
    options = {"bf": "2"} | ({"qp": "2"} if codec == "libx264" else {"qmin": "2", "qmax": "2"})
    clip = footage.film(
        tmp_path / "clip.avi", footage.pictures(24), codec=codec, form="yuv420p", options=options
    )
    assert footage.numbers(read(clip)) == [0, 3, 6, 9, 12, 15, 18, 21]


def test_hidden_frames_are_not_missed(tmp_path: Path) -> None:
    """VP8 keeps reference frames that are never shown in packets of their own."""
    import av

    made = footage.film(
        tmp_path / "all.webm", footage.pictures(24), codec="libvpx", form="yuv420p", options={"b": "2M"}
    )
    clip = tmp_path / "clip.webm"
    with av.open(str(made)) as old, av.open(str(clip), "w") as new:
        source = old.streams.video[0]
        target = new.add_stream_from_template(source)
        for number, packet in enumerate(packet for packet in old.demux(source) if packet.size):
            content = bytearray(bytes(packet))
            if number in (5, 11, 17):
                content[0] &= ~0x10  # show_frame
            changed = av.Packet(bytes(content))
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            changed.is_keyframe, changed.stream = packet.is_keyframe, target
            new.mux(changed)
    assert footage.numbers(read(clip)) == [0, 3, 6, 9, 12, 15, 18, 21]
    assert footage.numbers(read(clip, 6, trim=(0.4, 1.2))) == [4, 4, 7, 8, 9, 10]


def test_frames_that_an_edit_list_cuts_off_are_not_shown(tmp_path: Path) -> None:
    clip = footage.film(tmp_path / "clip.mp4", footage.pictures(24))
    content = bytearray(clip.read_bytes())
    entry = content.index(b"elst") + 12
    assert struct.unpack(">I", content[entry : entry + 4]) == (2400,)
    content[entry : entry + 4] = struct.pack(">I", 800)
    clip.write_bytes(content)
    assert footage.numbers(read(clip)) == list(range(8))


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
