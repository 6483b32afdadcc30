"""One process at a time makes a file, and a dead one is in nobody's way."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry import files
from registry.errors import Busy, DiskError


def test_a_second_holder_is_told_who_has_it_and_since_when(path: Path) -> None:
    with files.lock(path):
        with pytest.raises(Busy) as refusal, files.lock(path):
            pytest.fail("two had the lock")
        assert refusal.value.message.startswith(f"Process {os.getpid()} has been writing a since ")
        assert refusal.value.code == 6
        with files.lock(path.with_name("b.safetensors")):
            pass
    with files.lock(path):
        pass
    assert not os.listdir(path.parent), "a lock that is let go leaves nothing behind"


def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    code = "import sys, pathlib, time; from registry import files\n"
    code += "with files.lock(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    root = Path(files.__file__).parents[2]
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=root)
    assert child.stdout
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(Busy, match=f"Process {child.pid} "), files.lock(path):
        pass
    child.kill()
    child.communicate()
    assert os.path.exists(path.with_suffix(".lock")), "or this test shows nothing"
    with files.lock(path):
        pass


def test_a_child_program_does_not_hold_the_lock(path: Path) -> None:
    with files.lock(path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        with files.lock(path):
            pass
    finally:
        child.communicate(b"\n")


@pytest.mark.parametrize("content", [b"", b"nonsense\x1b[31m", b"9" * 500, b"1 99999999999\n", b"12 34"])
def test_whatever_lies_in_a_lock_file_can_be_told(path: Path, content: bytes) -> None:
    target = path.with_suffix(".lock")
    target.write_bytes(content)
    with open(target, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy) as refusal, files.lock(path):
            pass
        assert "\x1b" not in refusal.value.message


def test_a_lock_is_never_broken_by_age_nor_blocked_by_it(path: Path) -> None:
    target = path.with_suffix(".lock")
    target.write_bytes(b"1 1\n")
    os.utime(target, (0, 0))
    with open(target, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy), files.lock(path):
            pass
    with files.lock(path):
        pass


def test_a_planted_link_is_not_written_through(path: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    path.with_suffix(".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(DiskError), files.lock(path):
        pass
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_lock_file_deleted_by_hand_does_not_let_the_next_delete_a_strangers(path: Path) -> None:
    target = path.with_suffix(".lock")
    with files.lock(path):
        target.unlink()
        target.write_bytes(b"someone else's")
    assert target.read_bytes() == b"someone else's"


def test_a_lock_whose_file_its_last_holder_has_just_deleted_is_taken_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, flock, deleted = path.with_suffix(".lock"), fcntl.flock, []

    def locking(file: int, operation: int) -> None:
        if not deleted:
            target.unlink()
            deleted.append(target)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", locking)
    with files.lock(path):
        assert deleted
        with pytest.raises(Busy), files.lock(path):
            pytest.fail("two had the lock")


def test_a_disk_that_cannot_lock_will_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", failing)
    with files.lock(path):
        files.publish(path, b"x")


def test_an_error_under_the_lock_lets_it_go(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.lock(path):
        raise KeyboardInterrupt
    assert not os.listdir(path.parent)
    with files.lock(path):
        pass
