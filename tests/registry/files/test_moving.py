"""What is adopted, moved or removed overwrites nothing and is not lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from registry import files
from registry.errors import DiskError, Exists
from tests.registry.conftest import refusing


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
