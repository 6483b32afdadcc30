"""vmc generate --compile: refused at once where it cannot be, told where it is, and the same every time."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np
import pytest
from diffusers.models.resnet import TemporalConvLayer

from tests.vmc_cli.commands.conftest import Run, parsed
from tests.vmc_cli.conftest import SIZE
from vmc_cli import backbones, clip
from vmc_cli.backbones import compiling

CITY = "a chicken walking in a city"
FAST = ("--steps", "2")


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody loads a model."""

    def load(*arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(backbones, "load", load)


@pytest.mark.usefixtures("tiny", "unloaded")
@pytest.mark.parametrize("command", ["generate", "style"])
def test_without_a_compiler_it_is_refused_before_anything_is_loaded(
    command: str, run: Run, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    arguments = (CITY, "-m", known) if command == "generate" else (known, "van gogh")
    ran = run(command, *arguments, "--compile", *FAST)
    assert ran.rc == 2
    assert "needs a compiler, and there is no no-such-compiler here" in ran.stderr


@pytest.mark.usefixtures("unloaded")
def test_without_the_headers_of_python_too(
    run: Run, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "python3")  # some program that is there
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    ran = run("generate", CITY, "--backbone", tiny, "--compile", *FAST)
    assert ran.rc == 2
    assert "Python.h" in ran.stderr


@pytest.mark.usefixtures("unloaded")
def test_xformers_is_not_compiled(run: Run, tiny: str) -> None:
    ran = run("generate", CITY, "--backbone", tiny, "--compile", "--attention", "xformers", *FAST)
    assert ran.rc == 2
    assert "xformers" in ran.stderr


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few layers are compiled, and no compiler is run."""
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    monkeypatch.setattr(compiling, "LAYERS", (TemporalConvLayer,))
    monkeypatch.setattr("vmc_cli.commands.checks.compiler", lambda attention: None)


@pytest.mark.usefixtures("quick")
def test_a_compiled_video_says_so_and_is_the_same_every_time(run: Run, tiny: str, here: Path) -> None:
    arguments = ("generate", CITY, "--backbone", tiny, "--compile", *FAST)
    ran = run(*arguments, "--out", "a.webp")
    assert ran.rc == 0, ran.stderr
    assert "The first steps take" in ran.stderr
    found = parsed(run(*arguments, "--out", "b.mp4", "--json"))
    assert found["compiled"] is True
    assert clip.read_metadata(here / "b.mp4")["compiled"] == "True"
    run(*arguments, "--out", "c.webp")
    first, again = (
        clip.read(here / name, frames=4, height=SIZE, width=SIZE).frames for name in ("a.webp", "c.webp")
    )
    assert np.array_equal(first, again)
    plain = run("generate", CITY, "--backbone", tiny, *FAST, "--json")
    assert "compiled" not in parsed(plain)
