"""What a disk will refuse is asked for before the work."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from registry.disk import need_space, need_writable
from registry.errors import DiskError
from tests.registry.conftest import refusing


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


def test_a_folder_that_cannot_be_made_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_writable(tmp_path / "missing" / "below")
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file cannot be written to"):
        need_writable(tmp_path / "file" / "below")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(DiskError):
        need_writable(tmp_path / "missing")
