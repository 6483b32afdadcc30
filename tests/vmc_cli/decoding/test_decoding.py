"""A stranger's file is read by a child process that can do little harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import footage
from vmc_cli import clip, decoding
from vmc_cli.errors import ClipError, NotFoundError

ROOT = Path(clip.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of eight pictures; read only."""
    return footage.film(tmp_path_factory.mktemp("clips") / "plain.mp4", footage.pictures(8))


def numbers(path: Path | str) -> list[int]:
    return footage.numbers(list(clip.read(path, frames=8, height=64, width=96).frames))


@pytest.mark.parametrize(
    "name",
    [
        "-leading-dash.mp4",
        "name with spaces & ünïcødé 🦆.mp4",
        "quote'and\"double;$(touch pwned)`id`.mp4",
        "UPPERCASE.MP4",
        "no_extension",
        "misnamed.gif",
        "a" * 240 + ".mp4",
        "concat:a.mp4",
        "line\nbreak.mp4",
        "%03d.mp4",
        "not-utf8-\udcff.mp4",
    ],
)
def test_names_are_only_names(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        shutil.copy(plain, name)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this disk takes no such names")
    assert numbers(name) == list(range(8))
    assert os.listdir() == [name]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile {}\n"),
        ("list.txt", "file '{}'\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_files_that_name_other_files_are_refused(
    plain: Path, tmp_path: Path, name: str, content: str
) -> None:
    shutil.copy(plain, tmp_path / "other.mp4")
    (tmp_path / name).write_text(content.format("other.mp4"))
    with pytest.raises(ClipError):
        numbers(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_or_device_is_refused_and_never_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "clip.mp4")
    for path in (tmp_path / "clip.mp4", Path("/dev/zero")):
        with pytest.raises(ClipError, match="not a regular file"):
            clip.read(path, frames=8, height=64, width=96)
        with pytest.raises(ClipError, match="not a regular file"):
            clip.digest(path)


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no clip"):
        numbers(tmp_path / "gone.mp4")
    (tmp_path / "link.mp4").symlink_to("gone.mp4")
    with pytest.raises(ClipError, match="link to a file that does not exist"):
        numbers(tmp_path / "link.mp4")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"not a video\n" * 50, np.random.default_rng(0).bytes(9000)]
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(ClipError, match=r"clip\.mp4 (is empty|is no video|is in a format)"):
        numbers(tmp_path / "clip.mp4")


def test_code_in_the_working_folder_is_never_run(plain: Path, tmp_path: Path) -> None:
    for name in ("json", "numpy", "av", "struct", "traceback", "vmc_cli", "site", "os"):
        (tmp_path / f"{name}.py").write_text("open('pwned', 'w')\nraise SystemExit(9)\n")
    code = (
        f"import sys; sys.path[0] = {str(ROOT)!r}; from vmc_cli import clip; "
        f"print(clip.read({str(plain)!r}, frames=8, height=64, width=96).frames.shape)"
    )
    script = tmp_path / "inner" / "run.py"
    script.parent.mkdir()
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, check=False)
    assert done.stdout.split() == [b"(8,", b"64,", b"96,", b"3)"], done.stderr
    assert not (tmp_path / "pwned").exists()


def test_the_rest_of_stdin_is_left_to_the_shell(plain: Path) -> None:
    code = (
        "import sys; from vmc_cli import clip; first = sys.stdin.buffer.raw.read(4); "
        f"clip.read({str(plain)!r}, frames=8, height=64, width=96); print(sys.stdin.buffer.raw.read(99))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=b"one\ntwo\n", capture_output=True, check=False
    )
    assert done.stdout.strip() == b"b'two\\n'", done.stderr


def test_reading_loads_no_decoder_into_this_process(plain: Path) -> None:
    code = (
        f"import sys; from vmc_cli import clip; clip.read({str(plain)!r}, frames=8, height=64, width=96); "
        "print({'av', 'PIL', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.stdout.strip() == b"set()", done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the address space is bounded on Linux only")
def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = footage.film(
        tmp_path / "clip.mkv", [np.zeros((2000, 4000, 3), np.uint8)] * 8, codec="ffv1", form="yuv444p"
    )
    monkeypatch.setattr(decoding, "MEMORY_BYTES", 260 << 20)
    with pytest.raises(ClipError, match=r"needs more memory than a clip may|decoder broke down"):
        numbers(large)


def test_time_is_bounded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WALL_SECONDS", 0.01)
    with pytest.raises(ClipError, match="takes more than") as caught:
        numbers(plain)
    assert "--trim" in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="no such bound there")
def test_processor_time_is_bounded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = decoding._BOOT.replace(
        "main(json", "from vmc_cli.decoding import child; child._do = spin; main(json"
    )
    monkeypatch.setattr(decoding, "_BOOT", f"def spin(_):\n while 1: pass\n{busy}")
    monkeypatch.setattr(decoding, "CPU_SECONDS", 1)
    with pytest.raises(ClipError, match="takes more than 1 seconds to decode"):
        numbers(plain)


@pytest.mark.parametrize(
    "ending",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import os; os.abort()",
        "raise SystemExit(7)",
        "print('not an answer')",
        "print('{\"size\": 3}')",
        "print('[]')",
    ],
)
def test_a_decoder_that_breaks_down_is_one_sentence(
    plain: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(decoding, "_BOOT", ending)
    with pytest.raises(ClipError, match="decoder broke down") as caught:
        numbers(plain)
    assert caught.value.hint


def test_the_child_loads_only_what_decodes(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tmp_path / "loaded"
    telling = (
        "from vmc_cli.decoding import child; whole = child._do\n"
        "def telling(request):\n"
        f" found = whole(request); open({str(loaded)!r}, 'w').write(' '.join(sys.modules)); return found\n"
        "child._do = telling; main(json"
    )
    monkeypatch.setattr(decoding, "_BOOT", decoding._BOOT.replace("main(json", telling))
    numbers(plain)
    modules = set(loaded.read_text().split())
    assert {"av", "numpy"} <= modules
    assert not {"torch", "diffusers", "transformers", "PIL", "rich", "typer", "platformdirs"} & modules
