"""A file is made whole or not at all, and overwrites nothing unasked."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from registry import files
from registry.errors import DiskError, Exists
from registry.files import writing
from tests.registry.conftest import refusing


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
