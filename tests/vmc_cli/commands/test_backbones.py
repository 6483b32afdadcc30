"""vmc backbones lists every row and tells each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.vmc_cli.commands.conftest import Run, parsed
from vmc_cli.backbones import BACKBONES


def test_names_only_when_piped(run: Run) -> None:
    assert run("backbones").stdout.split() == list(BACKBONES)


@pytest.mark.parametrize("name", BACKBONES)
def test_each_row_is_told(name: str, run: Run) -> None:
    spec = BACKBONES[name]
    ran = run("backbones", "show", name)
    assert ran.rc == 0
    for told in (spec.summary, spec.licence, f"{spec.frames} of {spec.width}x{spec.height}"):
        assert told in ran.stdout
    found = parsed(run("backbones", "show", name, "--json"))
    assert (found["name"], found["frames"]) == (name, spec.frames)
    assert {method: set(changes) for method, changes in found["recipes"].items()} == {
        method: set(changes) for method, changes in spec.recipes.items()
    }
    found.pop("vocabulary")
    assert found in parsed(run("backbones", "--json"))


def test_a_small_world_tells_its_words(run: Run) -> None:
    words = parsed(run("backbones", "show", "sprites", "--json"))["vocabulary"]
    assert {"seagull", "dove", "kitten"} <= set(words["subjects"])
    assert {"city", "downtown", "under water"} <= set(words["places"])
    assert {"walking", "spinning", "moving around"} <= set(words["motions"])
    assert {"tiny", "huge"} <= set(words["sizes"])
    assert {"slowly", "fast"} <= set(words["speeds"])
    assert "van gogh starry night" in words["styles"]
    assert "seagull" in run("backbones", "show", "sprites").stdout


def test_an_unknown_one_is_refused_with_the_known_ones(run: Run) -> None:
    ran = run("backbones", "show", "nothing")
    assert ran.rc == 2
    assert "sprites" in ran.stderr


def test_a_folder_of_ones_own_is_learned_with_and_asked_for_when_generating(
    run: Run, tiny_folder: Path, clip: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_folder, tmp_path / "mine")
    (model / "vmc.json").write_text('{"frames": 4, "width": 32, "height": 32}')
    assert run("backbones", "show", model).rc == 0
    learn = ("learn", clip, "--prompt", "a cat is walking", "--steps", "1", "--backbone", model)
    name = run(*learn).stdout.strip()
    assert name
    ran = run("generate", "--motion", name, "a bird", "--steps", "1")
    assert ran.rc == 7
    assert "--backbone FOLDER" in ran.stderr
    model = model.rename(tmp_path / "moved")
    assert run("generate", "--motion", name, "a bird", "--steps", "1", "--backbone", model).rc == 0
