"""The command line as users run it: a process of its own, with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry.store import Store
from vmc_cli import terminal

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT.parent / "shared" / "clips"
SECONDS = 120


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    rc: int
    stdout: str
    stderr: str


def command() -> list[str]:
    """The installed `vmc`, or the one of this source tree where none is installed beside this Python."""
    installed = Path(sys.executable).with_name("vmc")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "vmc_cli"]


@pytest.fixture(autouse=True)
def _talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is quiet because one before it was."""
    monkeypatch.setattr(terminal._state, "quiet", False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Store:
    """The motions that the commands of this test see."""
    return Store(home / "motions")


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """What a command finds: its own home, a plain terminal, nothing of the tester's settings."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("VMC_", "NO_COLOR", "FORCE_"))
    }
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {
        **kept,
        "VMC_HOME": str(home),
        "PYTHONPATH": path,
        "PYTHONIOENCODING": "utf-8",
        "OMP_NUM_THREADS": "1",
        "TERM": "xterm-256color",
        "COLUMNS": "80",
    }


@pytest.fixture
def vmc(environment: dict[str, str], tmp_path: Path) -> Callable[..., Ran]:
    """Run `vmc` in an empty folder: vmc("list", "--json", env={...}) -> rc, stdout, stderr."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(*arguments: str | os.PathLike[str], env: dict[str, str] | None = None) -> Ran:
        done = subprocess.run(
            [*command(), *arguments],
            cwd=folder,
            env=environment | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return Ran(
            done.returncode, *(text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
        )

    return run


@pytest.fixture
def on_terminal(environment: dict[str, str], tmp_path: Path) -> Callable[..., Ran]:
    """Run `vmc` on a terminal of its own; all it wrote there is `stdout`."""
    pty = pytest.importorskip("pty", reason="needs pseudo-terminals")

    def run(*arguments: str, width: int = 80, env: dict[str, str] | None = None) -> Ran:
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen(
                [*command(), *arguments],
                cwd=tmp_path,
                env=environment | {"COLUMNS": str(width)} | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            written = b""
            while chunk := _read(ours):
                written += chunk
            return Ran(
                process.wait(SECONDS), written.decode("utf-8", "surrogateescape").replace("\r\n", "\n"), ""
            )
        finally:
            os.close(ours)

    return run


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the last writer has gone
        return b""


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Real clips beside the repository; they are not part of it."""
    if not CLIPS.is_dir():
        pytest.skip(f"no clips in {CLIPS}")
    return CLIPS
