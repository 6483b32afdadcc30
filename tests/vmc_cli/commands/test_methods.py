"""vmc methods tells every recipe with its numbers and paper; --method takes a file too."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.store import Store
from tests.vmc_cli.commands.conftest import Run, parsed
from vmc_cli import backbones
from vmc_cli.recipes import RECIPES, Recipe


def test_names_only_when_piped(run: Run) -> None:
    assert run("methods").stdout.split() == list(RECIPES)


def test_json_tells_every_number_and_the_paper(run: Run) -> None:
    found = parsed(run("methods", "--json"))
    assert [Recipe.from_card(each) for each in found] == list(RECIPES.values())
    assert all(each["paper"] for each in found)


def test_a_recipe_of_ones_own_is_learned_with_and_kept_in_the_card(
    run: Run, tiny: str, clip: Path, store: Store
) -> None:
    Path("mine.toml").write_text('like = "vmc"\nloss = "mse"\nsteps = 1\nrank = 3\n', encoding="utf-8")
    ran = run("learn", clip, "--prompt", "a bird is walking", "--backbone", tiny, "--method", "mine.toml")
    assert ran.rc == 0, ran.stderr
    card = store.card("bird_walk")
    told = {key: card.recipe[key] for key in ("method", "loss", "steps", "rank", "inversion_steps")}
    assert told == {"method": "mine", "loss": "mse", "steps": 1, "rank": 3, "inversion_steps": 3}
    assert card.method == "mine"


@pytest.mark.parametrize(
    ("text", "rc", "said"),
    [
        ("like = 'vmc'\nlearnin_rate = 1e-3", 2, "learning_rate"),
        ("like = 'vmc'\nrank = 0", 2, "rank"),
        (None, 5, "mine.toml"),
    ],
)
def test_a_wrong_recipe_costs_no_model(
    *, text: str | None, rc: int, said: str, run: Run, tiny: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr(backbones, "load", load)
    if text is not None:
        Path("mine.toml").write_text(text, encoding="utf-8")
    ran = run("learn", clip, "--prompt", "a bird is walking", "--backbone", tiny, "--method", "mine.toml")
    assert ran.rc == rc
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
