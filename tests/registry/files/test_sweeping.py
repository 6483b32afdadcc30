"""What dead processes left is swept, and what was removed a week ago; nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from registry import files, owners

DAY = 86_400


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


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
