from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from registry import files, owners
from registry.disk import need_space
from registry.errors import Busy, DiskError, Exists
from registry.files import writing
from registry.signals import unbroken

DAY = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


def refusing(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Let os.<call> fail with errno `number`."""

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, failing)


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


# publish


def test_a_file_appears_whole_and_alone(path: Path) -> None:
    files.publish(path, [b"one", b"", b"two"])
    assert path.read_bytes() == b"onetwo"
    assert os.listdir(path.parent) == [path.name]


def test_a_file_is_not_overwritten(path: Path) -> None:
    path.write_bytes(b"old")
    with pytest.raises(Exists):
        files.publish(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_dangling_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exists):
        files.publish(path, b"new")
    assert not (tmp_path / "elsewhere").exists()


def test_replacing_takes_the_link_not_what_it_leads_to(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    path.symlink_to(tmp_path / "elsewhere")
    files.publish(path, b"new", replace=True)
    assert not path.is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"


@pytest.mark.parametrize("keep_old", [False, True])
def test_a_replaced_file_is_kept_only_when_asked(path: Path, keep_old: bool) -> None:
    path.write_bytes(b"old")
    files.publish(path, b"new", replace=True, keep_old=keep_old)
    assert path.read_bytes() == b"new"
    assert [kept.read_bytes() for kept in path.parent.glob(".trash/a-*.safetensors")] == [b"old"] * keep_old


def test_replacing_nothing_is_publishing(path: Path) -> None:
    files.publish(path, b"new", replace=True, keep_old=True)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("number", sorted(writing._NO_LINKS))
@pytest.mark.parametrize("replace", [False, True])
def test_a_disk_without_hard_links_will_do(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, replace: bool
) -> None:
    refusing(monkeypatch, "link", number)
    files.publish(path, b"old")
    if replace:
        files.publish(path, b"new", replace=True, keep_old=True)
        assert [kept.read_bytes() for kept in path.parent.glob(".trash/*")] == [b"old"]
    else:
        with pytest.raises(Exists):
            files.publish(path, b"new")
    assert path.read_bytes() == (b"new" if replace else b"old")
    assert set(os.listdir(path.parent)) == {path.name} | ({".trash"} if replace else set())


def test_short_writes_are_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    files.publish(path, b"0123456789")
    assert path.read_bytes() == b"0123456789"


def test_bytes_that_read_back_differently_are_not_published(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, bytes(len(data))))
    with pytest.raises(DiskError, match="reads back differently"):
        files.publish(path, b"0123456789")
    assert not os.listdir(path.parent)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_decides_who_may_read(path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.publish(path, b"x")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_full_disk_is_told_with_bytes_needed_and_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, "write", errno.ENOSPC)
    with pytest.raises(DiskError, match=r"1,234 bytes needed, [\d,]+ free"):
        files.publish(path, bytes(1234))
    assert not os.listdir(path.parent)


def test_room_can_be_asked_for_beforehand(tmp_path: Path) -> None:
    need_space(tmp_path, 1)
    need_space(tmp_path / "missing" / "below", 1)
    for folder in (tmp_path, tmp_path / "missing" / "below"):
        with pytest.raises(DiskError, match=r"1,152,921,504,606,846,976"):
            need_space(folder, 1 << 60)


def test_a_disk_that_cannot_tell_its_room_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, "statvfs", errno.ENOSYS)
    need_space(tmp_path, 1 << 60)


# adopt, move, remove


def test_what_another_made_is_adopted(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    for content in (b"first", b"second"):
        temp = files.temp_name(video)
        assert temp.suffix == ".mp4"
        temp.write_bytes(content)
        if content == b"second":
            with pytest.raises(Exists):
                files.adopt(temp, video)
            assert not temp.exists()
            temp.write_bytes(content)
        files.adopt(temp, video, replace=content == b"second")
        assert video.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_what_is_adopted_is_flushed_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, flushed = os.fsync, []

    def flushing(file: int) -> None:
        flushed.append((os.fstat(file).st_ino, os.path.lexists(out)))
        fsync(file)

    monkeypatch.setattr(os, "fsync", flushing)
    for out, files_in in ((tmp_path / "a.mp4", []), (tmp_path / "frames", ["1.png", "2.png"])):
        temp = files.temp_name(out)
        for name in files_in:
            temp.mkdir(exist_ok=True)
            (temp / name).write_bytes(b"png")
        if not files_in:
            temp.write_bytes(b"video")
        files.adopt(temp, out)
        parts = {out, *(out / name for name in files_in)}
        assert {(part.stat().st_ino, False) for part in parts} <= set(flushed)
        assert (tmp_path.stat().st_ino, True) in flushed


@pytest.mark.parametrize("replace", [False, True])
def test_a_folder_is_adopted_and_never_replaces_one_that_holds_something(
    tmp_path: Path, replace: bool
) -> None:
    out = tmp_path / "frames"
    for _ in range(2):
        temp = files.temp_name(out)
        (temp / "deep").mkdir(parents=True)
        (temp / "deep" / "1.png").write_bytes(b"png")
        if out.exists():
            with pytest.raises(Exists):
                files.adopt(temp, out, replace)
        else:
            files.adopt(temp, out, replace)
    assert (out / "deep" / "1.png").read_bytes() == b"png"
    assert os.listdir(tmp_path) == ["frames"]


def test_moving_never_overwrites(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(Exists):
        files.move(tmp_path / "a", tmp_path / "b")
    files.move(tmp_path / "a", tmp_path / "c")
    assert {name: (tmp_path / name).read_text() for name in os.listdir(tmp_path)} == {"b": "b", "c": "a"}


def test_a_folder_is_moved_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "taken").mkdir()
    with pytest.raises(Exists):
        files.move(tmp_path / "a", tmp_path / "taken")
    files.move(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c" / "b").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["c", "taken"]


def test_moving_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("a")
    refusing(monkeypatch, "link", errno.EPERM)
    files.move(tmp_path / "a", tmp_path / "c")
    assert os.listdir(tmp_path) == ["c"]


def test_a_removed_file_lies_in_the_trash(path: Path) -> None:
    path.write_bytes(b"old")
    grave = files.remove(path)
    assert grave.read_bytes() == b"old"
    assert grave.parent == path.parent / ".trash"
    assert not path.exists()


def test_a_trash_that_leads_elsewhere_is_not_used(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "x-20000101T000000Z-abcdef.safetensors").write_bytes(b"precious")
    (path.parent / ".trash").symlink_to(elsewhere)
    path.write_bytes(b"old")
    with pytest.raises(DiskError):
        files.remove(path)
    with pytest.raises(DiskError):
        files.publish(path, b"new", replace=True, keep_old=True)
    files.sweep(path.parent)
    assert path.read_bytes() == b"old"
    assert len(os.listdir(elsewhere)) == 1


def test_folders_are_made_where_they_can_be(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b" / "c")
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DiskError, match="Not a directory"):
            files.make_folder(bad)


def test_a_linked_registry_folder_will_do(tmp_path: Path) -> None:
    (tmp_path / "disk2").mkdir()
    (tmp_path / "motions").symlink_to(tmp_path / "disk2")
    files.make_folder(tmp_path / "motions")
    files.publish(tmp_path / "motions" / "a.safetensors", b"x")
    assert (tmp_path / "disk2" / "a.safetensors").read_bytes() == b"x"


# sweep


def test_the_sweep_takes_what_dead_processes_left_and_nothing_else(tmp_path: Path) -> None:
    origin, dead = owners._origin(), dead_process()
    gone = [f".tmp-{origin}-{dead}-{'a' * 12}.safetensors", f".tmp-{origin}-{dead}-{'b' * 12}"]
    kept = [
        "a.safetensors",
        files.temp_name(tmp_path / "a.safetensors").name,  # ours
        f".tmp-{origin}-1-{'a' * 12}",  # a living stranger's
        f".tmp-{'0' * 8}-{dead}-{'a' * 12}",  # of another machine, and young
        f".tmp-{dead}",
        f"tmp-{origin}-{dead}-{'a' * 12}",
        ".trash-not",
    ]
    for name in gone + kept:
        (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / kept[1], (0, 0))
    files.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_the_sweep_takes_another_machines_temporary_file_after_a_day(tmp_path: Path) -> None:
    names = [f".tmp-{'0' * 8}-1-{letter * 12}.mp4" for letter in "ab"]
    for name, hours in zip(names, (25, 23), strict=True):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - hours * 3600,) * 2)
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == names[1:]


def test_the_sweep_takes_a_folder_too_but_follows_no_link(tmp_path: Path) -> None:
    origin, dead = owners._origin(), dead_process()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    temp = tmp_path / f".tmp-{origin}-{dead}-{'a' * 12}"
    temp.mkdir()
    (temp / "link").symlink_to(tmp_path / "precious")
    (tmp_path / f".tmp-{origin}-{dead}-{'b' * 12}").symlink_to(tmp_path / "precious")
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["precious"]
    assert os.listdir(tmp_path / "precious") == ["file"]


def test_the_trash_is_kept_a_week(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"old")
    grave = files.remove(path)
    (grave.parent / "something of the user's").touch()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 6.9 * DAY)
    files.sweep(path.parent)
    assert grave.exists()
    monkeypatch.setattr(time, "time", lambda: now + 7.1 * DAY)
    files.sweep(path.parent)
    assert os.listdir(grave.parent) == ["something of the user's"]


def test_sweeping_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    files.sweep(tmp_path / "missing")


# lock


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


# signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_until_the_file_is_published(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    class Stop(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stop

    before = signal.signal(number, stop)
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (signal.raise_signal(number), fsync(file)))
    try:
        with pytest.raises(Stop):
            files.publish(path, b"new")
        assert signal.getsignal(number) is stop, "the handler is back in its place"
    finally:
        signal.signal(number, before)
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_a_block_that_fails_still_delivers_what_it_held_back() -> None:
    def fail() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError

    with pytest.raises(KeyboardInterrupt), unbroken():
        fail()
    with unbroken(), unbroken():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# growing


def test_a_file_grows_over_several_turns(path: Path) -> None:
    with files.growing(path, 6) as write:
        write(b"one")
    with suppress(RuntimeError), files.growing(path, 6) as write:
        write(b"tw")
        raise RuntimeError
    assert path.read_bytes() == b"onetw"


def test_a_growing_file_on_a_full_disk_keeps_what_it_has(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with files.growing(path, 2000) as write:
        write(b"one")
        refusing(monkeypatch, "write", errno.ENOSPC)
        with pytest.raises(DiskError, match="2,000 bytes needed"):
            write(b"two")
    assert path.read_bytes() == b"one"
