import json

import pytest

from vmc_cli.errors import UsageError
from vmc_cli.recipe import DEFAULT_NOISE, NOISES, Recipe
from vmc_cli.recipes import RECIPES


@pytest.mark.parametrize(
    "change",
    [
        {"trains": ("temporal-attention/to_q",)},
        {"loss": "residual-cosine"},
        {"noise": "motion"},
        {"inversion_steps": 50},
        {"aside": ("spatial-self-attention/to_q",)},
        {"early_stop": True},
        {"actors": 2},
        {"learns": "style"},
    ],
)
def test_what_no_picture_can_teach_is_refused(change):
    with pytest.raises(UsageError):
        RECIPES["subject"].adjusted(change)


def test_only_pictures_are_panned():
    assert not RECIPES["subject"].panned  # the paper's are videos of one frame
    assert RECIPES["subject"].adjusted({"panned": True}).panned
    with pytest.raises(UsageError, match="clips move"):
        RECIPES["vmc"].adjusted({"panned": True})


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


def test_full_weights_in_place_of_low_rank_have_their_own_rate_unless_told():
    low = RECIPES["vmc"].adjusted({"full_learning_rate": 1e-6})
    assert low.adjusted({"rank": 4}).learning_rate == low.learning_rate
    assert low.adjusted({"rank": None}).learning_rate == 1e-6
    assert low.adjusted({"rank": None, "learning_rate": 1e-5}).learning_rate == 1e-5
    assert low.adjusted({"rank": None}).adjusted({"learning_rate": 1e-5, "rank": None}).learning_rate == 1e-5
    assert RECIPES["vmc"].adjusted({"rank": None}).learning_rate == RECIPES["vmc"].learning_rate


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "l2"},
        {"steps": 0},
        {"stride": 0},
        {"batch": 0},
        {"rank": 0},
        {"inversion_steps": 0},
        {"learns": "subject"},
        {"learning_rate": 0.0},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"full_learning_rate": 0.0},
        {"timesteps": "sometimes"},
        {"trains": ()},
        {"trains": ("temporal-attention/to_x",)},
        {"clip_norm": 0.0},
        {"weight_decay": -0.1},
        {"betas": (0.9, 1.0)},
        {"alpha": 1.5},
        {"augmented": -1},
        {"acts_until": 1.0},
        {"acts_from": 0.0},
        {"acts_from": 1.1},
        {"acts_from": 0.5, "acts_until": 0.5},
        {"acts_until": float("nan")},
        {"guidance": float("nan")},
    ],
)
def test_impossible_numbers_are_refused(change):
    with pytest.raises(UsageError):
        RECIPES["vmc"].adjusted(change)


def test_roles_are_told_once_each():
    assert RECIPES["vmc"].roles == ("temporal-attention",)


def test_the_default_of_the_start_noise_can_be_asked_for():
    assert DEFAULT_NOISE in NOISES


@pytest.mark.parametrize("change", [{"actors": -1}, {"augmented": 2}, {"recoloured": True}])
def test_actors_stand_in_for_the_clip_and_its_copies(change):
    recipe = RECIPES["actors"]
    assert recipe.examples == recipe.actors == 6
    assert RECIPES["vmc"].adjusted({"augmented": 2}).examples == 3
    with pytest.raises(UsageError, match=r"[Aa]ctors"):
        recipe.adjusted(change)
