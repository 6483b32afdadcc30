import subprocess
import sys

import pytest

from vmc_cli.backbones import BACKBONES
from vmc_cli.recipe import ROLES
from vmc_cli.recipes import KINDS, RECIPES


def test_vmc_has_the_numbers_of_its_paper():
    vmc = RECIPES["vmc"]
    assert vmc.trains == ("temporal-attention/to_q", "temporal-attention/to_k", "temporal-attention/to_v")
    assert (vmc.loss, vmc.stride, vmc.timesteps) == ("residual-cosine", 1, "uniform")
    assert (vmc.learning_rate, vmc.weight_decay, vmc.betas) == (1e-4, 0.01, (0.9, 0.999))
    assert (vmc.clip_norm, vmc.steps, vmc.inversion_steps) == (1.0, 400, 75)
    assert vmc.invariant_prompt


def test_motion_inversion_has_the_numbers_of_its_paper():
    inversion = RECIPES["inversion"]
    assert (inversion.learning_rate, inversion.weight_decay, inversion.betas) == (5e-2, 0.01, (0.9, 0.999))
    assert (inversion.steps, inversion.inversion_steps, inversion.noise) == (800, 50, "blend")
    assert inversion.guidance == 10.0
    assert KINDS["inversion"].keys() == {"object", "camera", "hybrid"}
    for kind, loss, values in (("object", "mse", "difference"), ("camera", "debiased", "none")):
        recipe = inversion.adjusted(KINDS["inversion"][kind])
        assert (recipe.loss, recipe.values) == (loss, values)


def test_motion_director_has_the_numbers_of_its_paper():
    director = RECIPES["director"]
    assert (director.rank, director.loss, director.learning_rate, director.steps) == (
        32,
        "debiased",
        5e-4,
        150,
    )
    assert director.roles == ("temporal-attention", "temporal-feed-forward")
    assert (director.noise, director.noise_of_several) == ("blend", "random")


def test_a_token_is_learned_as_its_paper_says():
    token = RECIPES["token"]
    assert (token.loss, token.timesteps, token.alpha, token.steps) == ("mse", "early", 0.5, 3000)
    assert (token.noise, token.invariant_prompt) == ("random", False)
    temporal = {f"{role}/{key}" for role in ROLES if role.startswith("temporal") for key in ROLES[role]}
    assert {key for key in token.trains if key.startswith("temporal")} == temporal
    spatial = {key for key in token.trains if key.startswith("spatial")}
    assert spatial == {"spatial-cross-attention/to_k", "spatial-cross-attention/to_v"}
    assert token.adjusted({"rank": None}).learning_rate == token.full_learning_rate == 5e-6


def test_a_token_is_needed_where_something_is_learned_as_one():
    assert {name for name, recipe in RECIPES.items() if recipe.needs_token} == {"token", "subject"}


def test_a_subject_is_learned_from_pictures_by_spatial_layers_and_its_token():
    subject = RECIPES["subject"]
    assert subject.trains == ("spatial-cross-attention/to_k", "spatial-cross-attention/to_v")
    assert (subject.learns, subject.trains_token, subject.loss) == ("subject", True, "mse")
    assert (subject.inversion_steps, subject.noise, subject.timesteps) == (0, "random", "uniform")
    assert {each.learns for name, each in RECIPES.items() if name != "subject"} == {"motion"}


@pytest.mark.parametrize("spec", BACKBONES.values(), ids=lambda spec: spec.name)
def test_what_a_backbone_prefers_is_a_recipe_too(spec):
    for method, changes in spec.recipes.items():
        adjusted = RECIPES[method].adjusted(changes)
        assert {key: getattr(adjusted, key) for key in changes} == dict(changes)


@pytest.mark.parametrize(
    "module",
    [
        "recipe",
        "recipes",
        "recipe_file",
        "commands.methods",
        "tokens",
        "textual_inversion",
        "captions",
        "backbones",
        "checkpoints",
        "watching",
    ],
)
def test_the_tables_are_read_without_torch(module):
    heavy = "{'torch', 'numpy', 'diffusers', 'transformers', 'peft'}"
    code = f"import sys, vmc_cli.{module}; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
