from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from registry.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "motions")


def refusing(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Let os.<call> fail with errno `number`."""

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, failing)
