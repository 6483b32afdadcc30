from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry import home
from registry.errors import DiskError


def test_vmc_home_moves_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VMC_HOME", str(tmp_path))
    assert home.motions_dir() == tmp_path / "motions"
    assert home.checkpoints_dir() == tmp_path / "checkpoints"
    assert home.cache_dir() == tmp_path / "cache"
    assert not os.listdir(tmp_path), "asking for a folder must not create it"


def test_vmc_home_may_be_relative_or_in_the_users_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VMC_HOME", "here")
    assert home.motions_dir() == tmp_path / "here" / "motions"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VMC_HOME", "~/there")
    assert home.motions_dir() == tmp_path / "there" / "motions"


def test_without_vmc_home_the_system_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VMC_HOME", "")
    for kind in ("DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind))
    found = [home.motions_dir(), home.checkpoints_dir(), home.cache_dir()]
    assert all(folder.is_absolute() and "vmc" in folder.parts for folder in found)
    assert len(set(found)) == 3
    assert not os.listdir(tmp_path)


def test_a_user_without_a_home_is_told_of_vmc_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("VMC_HOME", "HOME", "XDG_DATA_HOME", "USERPROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(DiskError, match="home") as refusal:
        home.motions_dir()
    assert "VMC_HOME" in refusal.value.hint
