import json
import subprocess
import sys

import pytest

from vmc_cli.backbones import BACKBONES
from vmc_cli.errors import UsageError
from vmc_cli.recipes import DEFAULT_NOISE, GUIDANCE, NOISES, RECIPES, SAMPLING_STEPS, Recipe


def test_vmc_has_the_numbers_of_its_paper():
    vmc = RECIPES["vmc"]
    assert vmc.trains == ("temporal-attention/to_q", "temporal-attention/to_k", "temporal-attention/to_v")
    assert (vmc.loss, vmc.stride, vmc.timesteps) == ("residual-cosine", 1, "uniform")
    assert (vmc.learning_rate, vmc.weight_decay, vmc.betas) == (1e-4, 0.01, (0.9, 0.999))
    assert (vmc.clip_norm, vmc.steps, vmc.inversion_steps) == (1.0, 400, 75)
    assert vmc.invariant_prompt


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_its_card(name):
    recipe = RECIPES[name]
    assert recipe.method == name
    assert Recipe.from_card(json.loads(json.dumps(recipe.to_card()))) == recipe


def test_a_card_of_a_later_version_is_read():
    assert Recipe.from_card({**RECIPES["vmc"].to_card(), "unknown": 1}) == RECIPES["vmc"]


def test_a_card_that_lacks_a_number_is_refused():
    card = RECIPES["vmc"].to_card()
    del card["steps"]
    with pytest.raises(UsageError, match="not complete"):
        Recipe.from_card(card)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "l2"},
        {"steps": 0},
        {"stride": 0},
        {"rank": 0},
        {"inversion_steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
    ],
)
def test_impossible_numbers_are_refused(change):
    with pytest.raises(UsageError):
        RECIPES["vmc"].adjusted(change)


@pytest.mark.parametrize("spec", BACKBONES.values(), ids=lambda spec: spec.name)
def test_what_a_backbone_prefers_is_a_recipe_too(spec):
    for recipe in RECIPES.values():
        adjusted = recipe.adjusted(spec.recipe)
        assert {key: getattr(adjusted, key) for key in spec.recipe} == dict(spec.recipe)


def test_roles_are_told_once_each():
    assert RECIPES["vmc"].roles == ("temporal-attention",)


def test_the_defaults_of_generating_can_be_asked_for():
    assert DEFAULT_NOISE in NOISES
    assert GUIDANCE > 1
    assert 1 <= SAMPLING_STEPS <= 1000


@pytest.mark.parametrize("module", ["recipes", "backbones", "checkpoints", "watching"])
def test_the_tables_are_read_without_torch(module):
    heavy = "{'torch', 'numpy', 'diffusers', 'transformers', 'peft'}"
    code = f"import sys, vmc_cli.{module}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
