"""A TOML file is a recipe, or one sentence says what is wrong with it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmc_cli.errors import NotFoundError, UsageError, VmcError
from vmc_cli.recipe import UNSET, Recipe
from vmc_cli.recipe_file import LARGEST, chosen
from vmc_cli.recipes import RECIPES

VMC = RECIPES["vmc"]
PREFERRED = {"vmc": {"steps": 7, "rank": 3}}


def written(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def as_toml(recipe: Recipe) -> str:
    """Every key of a recipe, as somebody would write it by hand."""
    words = {"True": "true", "False": "false"}
    told = {key: str(value).replace("'", '"') for key, value in recipe.to_card().items()}
    told |= {key: f'"{word}"' for key, word in UNSET.items() if told[key] == "None"}
    for key, value in recipe.to_card().items():
        told[key] = f'"{value}"' if isinstance(value, str) else words.get(told[key], told[key])
    return "\n".join(f"{key} = {text}" for key, text in told.items())


def test_a_name_is_a_row_with_the_numbers_that_the_backbone_likes_better():
    assert chosen("vmc", {}) == VMC
    assert chosen("vmc", PREFERRED) == VMC.adjusted({"steps": 7, "rank": 3})
    with pytest.raises(UsageError, match=r"No method is called 'vcm'") as caught:
        chosen("vcm", {})
    assert "vmc" in caught.value.hint


@pytest.mark.parametrize("method", RECIPES)
def test_every_recipe_can_be_written_down_and_read_again(tmp_path, method):
    for recipe in (RECIPES[method], RECIPES[method].adjusted({"steps": 9, "rank": None})):
        assert chosen(written(tmp_path, as_toml(recipe)), PREFERRED) == recipe


def test_there_is_a_word_for_every_value_that_may_be_left_open():
    assert {field.name for field in dataclasses.fields(Recipe) if "None" in str(field.type)} == set(UNSET)


def test_a_file_says_what_differs_and_wins_over_what_the_backbone_likes(tmp_path):
    numbers = 'like = "vmc"\nrank = "full"\nlearning_rate = 1\nbetas = [0.5, 0]\n'
    text = numbers + 'trains = ["temporal-attention/to_v"]'
    assert chosen(written(tmp_path, text), PREFERRED) == dataclasses.replace(
        VMC,
        method="mine",
        paper="",
        steps=7,
        rank=None,
        learning_rate=1.0,
        betas=(0.5, 0),
        trains=("temporal-attention/to_v",),
    )


def test_a_kind_of_motion_changes_what_its_method_says(tmp_path):
    camera = chosen("inversion", {"inversion": {"learning_rate": 0.1, "steps": 5}}, "camera")
    assert (camera.kind, camera.loss, camera.values, camera.blocks) == ("camera", "debiased", "none", "outer")
    assert (camera.learning_rate, camera.steps) == (0.1, 300)
    text = 'like = "inversion"\nkind = "camera"\nvalues = "kept"'
    mine = chosen(written(tmp_path, text), {})
    assert (mine.kind, mine.loss, mine.values) == ("camera", "debiased", "kept")


@pytest.mark.parametrize(
    ("method", "kind", "said"),
    [
        ("inversion", "dance", "object, camera, hybrid"),
        ("vmc", "camera", "inversion has"),
        ("a.toml", "x", "file"),
    ],
)
def test_a_kind_that_a_method_does_not_have_is_refused(method, kind, said):
    with pytest.raises(UsageError) as caught:
        chosen(method, {}, kind)
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"lacks trains, rank, loss, .* inversion_steps"),
        ("like = 'vmc'\nstep = 3", r"key 'step'.*steps"),
        ("like = 'vmc'\nLike = 'vmc'", r"key 'Like'.*like"),
        ("like = 'vmc'\nflavour = 'red'", r"key 'flavour'.*learning_rate"),
        ("like = 'vcm'", r"'vcm', which is no method"),
        ("like = 3", r"no method"),
        ("like = ['vmc']", r"no method"),
        ("like = 'inversion'\nkind = 'camra'", r"no kind 'camra'.*camera"),
        (as_toml(VMC).replace('kind = ""', 'kind = "camra"'), r"No kind of motion is called 'camra'.*camera"),
        ("like = 'vmc'\nfull_learning_rate = 'own'", r'a number, or "same"'),
        ("like = 'vmc'\nrank = 2048", r"rank must be at most 1024"),
        ("like = 'vmc'\ninversion_steps = 1001", r"inversion steps must be at most 1000"),
        ("like = 'vmc'\nsteps = '300'", r"steps = '300'.*whole number"),
        ("like = 'vmc'\nsteps = 3.5", r"steps = 3.5.*whole number"),
        ("like = 'vmc'\nsteps = true", r"steps = True.*whole number"),
        ("like = 'vmc'\nsteps = 0", r"steps must be at least 1"),
        ("like = 'vmc'\nrank = 'half'", r"rank = 'half'.*full"),
        ("like = 'vmc'\nloss = 'cosine'", r"'cosine'.*residual-cosine"),
        ("like = 'vmc'\nloss = ['mse']", r"loss = .*text"),
        ("like = 'vmc'\nlearning_rate = nan", r"learning rate must be above 0"),
        ("like = 'vmc'\nbetas = [0.9]", r"betas.*two numbers"),
        ("like = 'vmc'\nbetas = [0.9, 'b']", r"betas.*two numbers"),
        ("like = 'vmc'\ntrains = ['temporal-attention/to_x']", r"to_x.*temporal-attention/to_q"),
        ("like = 'vmc'\ntrains = [1]", r"trains.*list of texts"),
        ("like = 'vmc'\ninvariant_prompt = 1", r"true or false"),
        ("like = 'inversion'\nrank = 4", r"inversion has no rank|mine has no rank"),
        ("like = 'vmc'\nadapter = 'embedding'", r"no rank"),
        ("like = 'inversion'\ntrains = ['temporal-attention/to_v']", r"queries, keys and values"),
        ("like = 'director'\naside = ['temporal-attention/to_q']", r"not learned by temporal-attention/to_q"),
        ("like = 'director'\nbatch = 2", r"paths of its own"),
        ("like = 'inversion'\naside = ['spatial-self-attention/to_q']", r"no spatial paths"),
        ("like = 'vmc'\nadapter = 'magic'", r"'magic'.*weights, embedding"),
        ("like = 'vmc'\nblocks = 'some'", r"'some'.*outer"),
        ("like = 'vmc'\nvalues = 'few'", r"'few'.*difference"),
        ("like = 'vmc'\nnoise = 'loud'", r"'loud'.*random"),
        ("like = 'vmc'\nsteps = ", r"is not TOML"),
        ("like = 'vmc'\n" + "a = " + "[" * 5000, r"is not TOML"),
        ("#" * (LARGEST + 1), r"too long"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        chosen(path, PREFERRED)
    whole = f"{caught.value.message} {caught.value.hint}"
    assert path in caught.value.message
    assert "\n" not in whole
    assert re.search(said, whole), whole


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_told(tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(NotFoundError, match="no recipe"):
        chosen(str(path), {})
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not TOML"):
        chosen(str(path), {})
    path.unlink()
    path.mkdir()
    with pytest.raises(VmcError, match="cannot be read"):
        chosen(str(path), {})


LINES = st.from_regex(r"(like = 'vmc'\n)?[a-z_]{1,9} = [-0-9.e\"\[\]a-z ]{0,9}", fullmatch=True)


@given(text=st.text(max_size=80) | LINES)
def test_any_text_is_a_recipe_or_a_sentence(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        found = repr(chosen(str(path), {}))
    except VmcError as error:
        found = error.message
    assert "\n" not in found
