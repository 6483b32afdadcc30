"""Damaged, odd and hostile clips: each works or is refused in one sentence, soon and in little memory."""

from __future__ import annotations

import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import footage
from vmc_cli import clip
from vmc_cli.errors import ClipError

SECONDS = 10
MEGABYTES = 400


def film(**made: Any) -> Callable[[Path], object]:
    return lambda path: footage.film(path, footage.pictures(16), **made)


def animate(path: Path, **options: Any) -> None:
    first, *others = [Image.fromarray(frame) for frame in footage.pictures(16)]
    first.save(path, save_all=True, append_images=others, duration=100, **options)


KINDS: dict[str, Callable[[Path], object]] = {
    "h264.mp4": film(form="yuv420p"),
    "hevc.mov": film(codec="libx265", form="yuv420p", options={"x265-params": "log-level=none"}),
    "vp9.webm": film(codec="libvpx-vp9", form="yuv420p", options={"b": "1M"}),
    "ffv1.mkv": film(codec="ffv1", form="yuv444p"),
    "mjpeg.avi": film(codec="mjpeg", form="yuvj420p"),
    "mpeg4.avi": film(codec="mpeg4", form="yuv420p"),
    "h264.ts": film(form="yuv420p"),
    "any.gif": animate,
    "any.webp": lambda path: animate(path, lossless=True),
    "any.png": animate,
}


@pytest.fixture(scope="module", params=KINDS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("whole") / request.param
    try:
        KINDS[request.param](path)
    except ValueError:  # an encoder that FFmpeg was built without
        pytest.skip(f"cannot make {request.param} here")
    return path


def spent() -> float:
    """Processor seconds of all children so far: a crowded machine makes them wait, not work."""
    if sys.platform == "win32":
        return time.monotonic()
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def outcome(path: Path, frames: int = 8) -> np.ndarray[Any, Any] | None:
    """The frames, or None where they were refused properly. Anything else fails the test."""
    before, refusal, found = spent(), "", None
    try:
        found = clip.read(path, frames=frames, height=32, width=48).frames
    except ClipError as error:
        refusal = error.message
    assert spent() - before < SECONDS
    if found is None:
        assert str(path) in refusal
        assert "\n" not in refusal
        assert refusal.endswith(".")
        return None
    assert found.shape == (frames, 32, 48, 3)
    return found


def check_cuts(whole: Path, tmp_path: Path, points: int) -> None:
    content = whole.read_bytes()
    reference = outcome(whole)
    assert reference is not None
    path = tmp_path / whole.name
    for point in range(points):
        path.write_bytes(content[: len(content) * (2 * point + 1) // (2 * points)])
        found = outcome(path)
        # MPEG-TS is made to be cut and says nowhere how long it is; others may lack their last frame.
        if found is not None and path.suffix != ".ts":
            numbers = footage.numbers(list(found))
            assert numbers[-1] >= footage.numbers(list(reference))[-1] - 1, f"cut at {point} of {points}"


def check_flips(whole: Path, tmp_path: Path, mutants: int) -> None:
    content = whole.read_bytes()
    dice = random.Random(whole.name)
    path = tmp_path / whole.name
    for _ in range(mutants):
        changed = bytearray(content)
        for _ in range(dice.choice((1, 1, 3, 10, 50))):
            head, tail = min(len(content), 1024), min(len(content), 4096)  # where the structure is
            ranges = (range(len(content)), range(head), range(len(content) - tail, len(content)))
            changed[dice.choice(dice.choice(ranges))] = dice.randrange(256)
        path.write_bytes(changed)
        outcome(path)


def test_a_clip_cut_anywhere_is_whole_or_refused(whole: Path, tmp_path: Path) -> None:
    check_cuts(whole, tmp_path, 4)


def test_a_clip_with_changed_bytes_harms_nobody(whole: Path, tmp_path: Path) -> None:
    check_flips(whole, tmp_path, 4)


@pytest.mark.stress
def test_a_clip_cut_at_many_places_is_whole_or_refused(whole: Path, tmp_path: Path) -> None:
    check_cuts(whole, tmp_path, 200)


@pytest.mark.stress
def test_a_clip_with_bytes_changed_in_many_ways_harms_nobody(whole: Path, tmp_path: Path) -> None:
    check_flips(whole, tmp_path, 1000)


@pytest.fixture(scope="module")
def bad(shared_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hostile files beside the repository, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(shared_clips / "bad.tar") as archive:
        archive.extractall(folder, filter="fully_trusted")
    return folder / "bad"


REFUSED = {
    "truncated_no_moov.mp4": "is no video, or is damaged",
    "truncated_faststart.mp4": "9 of its 24 frames",
    "corrupt_middle.mp4": "7 of its 24 frames",
    "zero_byte.mp4": "is empty",
    "text_named.mp4": "is no video",
    "random_bytes.mp4": "is no video",
    "dangling_symlink.mp4": "link to a file that does not exist",
    "directory_named.mp4": "folder without pictures",
    "still_photo.jpg": "single picture",
    "static.gif": "single picture",
    "static.webp": "single picture",
    "bomb_20000x20000.png": "20000 x 20000 pixels",
    "one_frame.mp4": "one frame",
    "two_frames.mp4": "2 frames",
    "seven_frames.mp4": "7 frames",
    "fps_1.mp4": "2 frames",
    "huge_8192x4320.mp4": "8192 x 4320 pixels",
    "raw_stream.h264": "format that is not read",
    "audio_only.mp4": "sound but no video",
    "audio_with_cover.m4a": "sound but no video",
    "frames_one_corrupt": "004.png is damaged",
    "frames_single": "one frame",
    "frames_empty_dir": "folder without pictures",
}
STILL = {"all_black.mp4", "static_photo.mp4", "alpha_png.mov", "alpha_vp9.webm"}  # the latter are all clear


def test_every_bad_file_works_or_says_why(bad: Path) -> None:
    names = sorted(path.name for path in bad.iterdir())
    assert len(names) > 70
    assert set(names) >= set(REFUSED)
    for name in names:
        before = spent()
        if name in REFUSED:
            with pytest.raises(ClipError) as caught:
                clip.read(bad / name, frames=8, height=128, width=128)
            assert REFUSED[name] in caught.value.message, name
            assert name in caught.value.message
            assert caught.value.code == 3
        else:
            found = clip.read(bad / name, frames=8, height=128, width=128)
            assert found.frames.shape == (8, 128, 128, 3), name
            assert clip.is_still(found) == (name in STILL), name
        assert spent() - before < SECONDS, name


@pytest.mark.skipif(sys.platform == "win32", reason="children are not accounted for there")
def test_large_frames_take_little_memory(bad: Path) -> None:
    names = [
        "huge_8192x4320.mp4",
        "bomb_20000x20000.png",
        "long_10min_64px.mp4",
        "prores.mov",
        "hevc_10bit.mp4",
    ]
    code = (  # a small parent: a child's peak counts from before it became another program
        "import resource, sys\nfrom vmc_cli import clip, errors\n"
        "for path in sys.argv[1:]:\n"
        "    try: clip.read(path, frames=8, height=128, width=128)\n"
        "    except errors.ClipError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *(str(bad / name) for name in names)],
        cwd=Path(clip.__file__).parent.parent,
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) < MEGABYTES << (20 if sys.platform == "darwin" else 10)


def test_the_scene_cut_is_seen(bad: Path) -> None:
    assert clip.find_cut(clip.read(bad / "scene_cut.mp4", frames=8, height=128, width=128)) is not None
    assert clip.find_cut(clip.read(bad / "no_extension", frames=8, height=128, width=128)) is None


def test_every_real_clip_is_read(shared_clips: Path) -> None:
    suffixes = {".mp4", ".mkv", ".avi", ".mov", ".ogv", ".webp", ".webm", ".gif"}
    paths = [path for path in sorted(shared_clips.iterdir()) if path.suffix in suffixes]
    assert paths
    for path in paths:
        found = clip.read(path, frames=8, height=128, width=128)
        assert found.frames.shape == (8, 128, 128, 3)
        assert not clip.is_still(found), path.name
