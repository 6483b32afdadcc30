"""The frames of a video are found at the right moments, however it keeps its times."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests import footage
from tests.vmc_cli.decoding.test_video import read
from vmc_cli.decoding import video


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
