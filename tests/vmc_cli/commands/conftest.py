"""Commands in this process, on a tiny random model: torch is imported once for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from registry.store import Store
from tests import specimens
from tests.conftest import Ran
from tests.vmc_cli.conftest import SIZE, tiny_spec
from vmc_cli import app, backbones
from vmc_cli.recipes import RECIPES

Run = Callable[..., Ran]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty, with VMC_HOME beside it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VMC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VMC_BACKBONE", raising=False)
    return folder


@pytest.fixture
def run(here: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """run("list", "--json") -> rc, stdout, stderr."""

    def run(*arguments: str | Path) -> Ran:
        capfd.readouterr()
        rc = app.main([str(argument) for argument in arguments])
        return Ran(rc, *capfd.readouterr())

    return run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home" / "motions")


@pytest.fixture
def tiny(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a backbone with random weights: 4 frames of 32x32."""
    quick = {
        method: {"inversion_steps": min(recipe.inversion_steps, 3), "steps": 2}
        for method, recipe in RECIPES.items()
    }
    spec = replace(tiny_spec(tiny_folder), recipes=quick)
    monkeypatch.setattr(backbones, "BACKBONES", {**backbones.BACKBONES, "tiny": spec})
    return spec.name


@pytest.fixture
def clip(here: Path) -> Path:
    """A square that moves to the right, in the folder seagull."""
    return draw(here / "seagull")


def draw(folder: Path, frames: int = 6, step: int = 4) -> Path:
    """A folder of pictures in which a square moves `step` pixels a frame."""
    folder.mkdir()
    for number in range(frames):
        picture = np.full((SIZE, SIZE, 3), 40, np.uint8)
        picture[10:20, step * number : step * number + 10] = (250, 200, 30)
        Image.fromarray(picture).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def learned(run: Run, tiny: str, clip: Path) -> str:
    """The name of a motion that was learned for two steps."""
    prompt = "a seagull is walking on the beach"
    ran = run("learn", clip, "--prompt", prompt, "--backbone", tiny, "--steps", "2")
    assert ran.rc == 0, ran.stderr
    return ran.stdout.strip()


@pytest.fixture
def known(store: Store, tiny: str) -> str:
    """The name of a motion whose card fits the tiny model; nobody looks at its tensors."""
    spec = backbones.find(tiny)
    card = specimens.card(
        backbone=tiny, revision=backbones.revision(spec), frames=spec.frames, height=SIZE, width=SIZE
    )
    with store.writing("seagull_walk") as slot:
        slot.publish(card, specimens.tensors())
    return slot.name


def parsed(ran: Ran) -> Any:
    """What a command printed as JSON."""
    return json.loads(ran.stdout)
