"""vmc backbones lists every row and tells each."""

from __future__ import annotations

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
    assert (found["name"], found["frames"], found["recipes"]) == (name, spec.frames, dict(spec.recipes))
    found.pop("vocabulary")
    assert found in parsed(run("backbones", "--json"))


def test_a_small_world_tells_its_words(run: Run) -> None:
    words = parsed(run("backbones", "show", "sprites", "--json"))["vocabulary"]
    assert "seagull" in words["subjects"]
    assert "city" in words["places"]
    assert "walking" in words["motions"]
    assert "van gogh starry night" in words["styles"]
    assert "seagull" in run("backbones", "show", "sprites").stdout


def test_an_unknown_one_is_refused_with_the_known_ones(run: Run) -> None:
    ran = run("backbones", "show", "nothing")
    assert ran.rc == 2
    assert "sprites" in ran.stderr
