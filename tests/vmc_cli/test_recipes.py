import json
import subprocess
import sys

import pytest

from vmc_cli.backbones import BACKBONES
from vmc_cli.errors import UsageError
from vmc_cli.recipes import DEFAULT_NOISE, KINDS, NOISES, RECIPES, Recipe


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
    roles = ("temporal-attention", "temporal-feed-forward", "temporal-convolution", "spatial-cross-attention")
    assert token.roles == roles
    spatial = {key for key in token.trains if key.startswith("spatial")}
    assert spatial == {"spatial-cross-attention/to_k", "spatial-cross-attention/to_v"}


def test_a_subject_is_learned_from_pictures_by_spatial_layers_and_its_token():
    subject = RECIPES["subject"]
    assert subject.trains == ("spatial-cross-attention/to_k", "spatial-cross-attention/to_v")
    assert (subject.learns, subject.trains_token, subject.loss) == ("subject", True, "mse")
    assert (subject.inversion_steps, subject.noise, subject.timesteps) == (0, "random", "uniform")
    assert {each.learns for name, each in RECIPES.items() if name != "subject"} == {"motion"}


@pytest.mark.parametrize(
    "change",
    [
        {"trains": ("temporal-attention/to_q",)},
        {"loss": "residual-cosine"},
        {"noise": "motion"},
        {"inversion_steps": 50},
        {"aside": ("spatial-self-attention/to_q",)},
        {"early_stop": True},
        {"learns": "style"},
    ],
)
def test_what_no_picture_can_teach_is_refused(change):
    with pytest.raises(UsageError):
        RECIPES["subject"].adjusted(change)


def test_stills_are_for_pictures_alone():
    assert not RECIPES["subject"].stills  # the paper's are videos of one frame
    assert RECIPES["subject"].adjusted({"stills": True}).stills
    with pytest.raises(UsageError, match="clips move"):
        RECIPES["vmc"].adjusted({"stills": True})


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
        {"learns": "subject"},
        {"learning_rate": 0.0},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"timesteps": "sometimes"},
        {"trains": ()},
        {"trains": ("temporal-attention/to_x",)},
        {"clip_norm": 0.0},
        {"weight_decay": -0.1},
        {"betas": (0.9, 1.0)},
        {"alpha": 1.5},
        {"augmented": -1},
        {"acts_until": 1.0},
        {"acts_until": float("nan")},
        {"guidance": float("nan")},
    ],
)
def test_impossible_numbers_are_refused(change):
    with pytest.raises(UsageError):
        RECIPES["vmc"].adjusted(change)


@pytest.mark.parametrize("spec", BACKBONES.values(), ids=lambda spec: spec.name)
def test_what_a_backbone_prefers_is_a_recipe_too(spec):
    for method, changes in spec.recipes.items():
        adjusted = RECIPES[method].adjusted(changes)
        assert {key: getattr(adjusted, key) for key in changes} == dict(changes)


def test_roles_are_told_once_each():
    assert RECIPES["vmc"].roles == ("temporal-attention",)


def test_the_default_of_the_start_noise_can_be_asked_for():
    assert DEFAULT_NOISE in NOISES


@pytest.mark.parametrize(
    "module",
    [
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
