"""The motion stays in a prompt, the place goes; names come out as a person would choose them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry import names
from vmc_cli import prompts

STRIPPED = {
    # the papers' own
    "a cat is roaring on the grass under the tree": "a cat is roaring",
    "a bird is flying above a lake in the forest": "a bird is flying",
    "a seagull is walking backward": "a seagull is walking backward",
    # where and when
    "two sharks are swimming in the sea": "two sharks are swimming",
    "a man is snowboarding": "a man is snowboarding",
    "a dog is jumping over a fence": "a dog is jumping",
    "a cat is sitting on a sofa, oil painting": "a cat is sitting",
    "a king is walking downtown at night": "a king is walking",
    "In the city, a cat is walking": "a cat is walking",
    "in the city a cat is walking left": "a cat is walking left",
    "on top of the hill a cat is walking": "a cat is walking",
    "in all the world a cat is walking": "a cat is walking",
    "at night, in the city a cat is walking": "a cat is walking",
    "a bird is flying with mountains in the background": "a bird is flying",
    "a man runs along the beach": "a man runs",
    # what moves, and how
    "a man is riding a horse through the desert slowly": "a man is riding a horse slowly",
    "a man in a red shirt is walking on the beach": "a man in a red shirt is walking",
    "a man is dancing with a woman in the park": "a man is dancing with a woman",
    "a seagull is moving in a circle over the sea": "a seagull is moving in a circle",
    "a ball is moving from side to side": "a ball is moving from side to side",
    "a ball is bouncing up and down on the street": "a ball is bouncing up and down",
    "a car is moving to the upper left in the desert": "a car is moving to the upper left",
    "a woman is spinning around in circles on one leg": "a woman is spinning around in circles on one leg",
    "a bear is walking on the rocks backward": "a bear is walking backward",
    "a dog is running on the beach, slowly": "a dog is running slowly",
    "a dog is running on the grass and jumping over a fence": "a dog is running and jumping",
    "a cat is walking toward the camera in the snow": "a cat is walking toward the camera",
    "a butterfly is flying in the family garden": "a butterfly is flying",
    # no verb, nothing to go by
    "a cat on  the grass": "a cat on the grass",
    "": "",
}

LOOKS = {
    "a cat is running on the grass": "a cat on the grass",
    "in the forest a red bird is flying slowly": "a red bird in the forest",
    "at night, in the forest a red bird is flying": "a red bird at night, in the forest",
    "two sharks are swimming backward in the sea": "two sharks in the sea",
    "a cat on a sofa": "a cat on a sofa",
}

NAMED = {
    "a seagull is walking": "seagull_walk",
    "a seagull is walking backward": "seagull_walk_backward",
    "a man is snowboarding": "man_snowboard",
    "two sharks are swimming in the sea": "two_sharks_swim",
    "A Café owner's dog is dancing!": "cafe_owners_dog_dance",
    "a man runs along the beach": "man_run",
    "a dog is running and jumping": "dog_run_and_jump",
    "dancing bears are very slowly spinning": "dancing_bears_very_slowly_spin",
    "con": "con_motion",
    "日本": "",
    "": "",
}

VERBS = {
    "walking": "walk",
    "swimming": "swim",
    "dancing": "dance",
    "riding": "ride",
    "flying": "fly",
    "running": "run",
    "rolling": "roll",
    "passing": "pass",
    "circling": "circle",
    "zigzagging": "zigzag",
    "bouncing": "bounce",
    "eating": "eat",
    "floating": "float",
    "rotating": "rotate",
    "diving": "dive",
    "skiing": "ski",
    "singing": "sing",
    "lunging": "lunge",
    "wobbling": "wobble",
    "lying": "lie",
    "opening": "open",
    "rising": "rise",
    "exploding": "explode",
}
CLAUSE = [
    "a",
    "the",
    "is",
    "cat",
    "on",
    "in",
    "with",
    "and,",
    "up",
    "left",
    "walking",
    "walks",
    "slowly",
    "circle",
    ".",
]


@pytest.mark.parametrize(("prompt", "kept"), STRIPPED.items())
def test_the_place_goes_and_the_motion_stays(prompt: str, kept: str) -> None:
    assert prompts.invariant(prompt) == kept


@pytest.mark.parametrize(("prompt", "seen"), LOOKS.items())
def test_of_the_looks_nothing_tells_what_is_done(prompt: str, seen: str) -> None:
    assert prompts.appearance(prompt) == seen


@pytest.mark.parametrize(("prompt", "name"), NAMED.items())
def test_a_motion_is_named_after_who_moves_how(prompt: str, name: str) -> None:
    assert prompts.name_for(prompt) == name


@pytest.mark.parametrize(("verb", "base"), VERBS.items())
def test_verbs_are_named_in_their_plain_form(verb: str, base: str) -> None:
    assert prompts.name_for(f"a cat is {verb}") == f"cat_{base}"


def test_a_file_is_named_after_the_whole_prompt() -> None:
    assert prompts.file_stem("a chicken walking in a city") == "chicken_walking_in_a_city"
    assert prompts.file_stem("日本") == "video"


def test_names_too_long_end_with_a_whole_word() -> None:
    name = prompts.name_for("a cat is walking " + "extraordinarily " * 20)
    assert len(name) <= names.LONGEST
    assert set(name.split("_")) == {"cat", "walk", "extraordinarily"}


def test_the_style_comes_last_and_the_place_not_at_all() -> None:
    styled = prompts.styled("a seagull is walking on the beach", " van gogh  starry night ")
    assert styled == "a seagull is walking, van gogh starry night"


@given(st.text() | st.lists(st.sampled_from(CLAUSE)).map(" ".join))
def test_any_text_gives_a_good_name_and_a_shorter_prompt(text: str) -> None:
    kept = prompts.invariant(text)
    assert len(kept) <= len(text)
    assert set(kept.split()) <= set(text.split()) | {word.rstrip(",;.") for word in text.split()}
    for name in (prompts.name_for(text), prompts.file_stem(text)):
        assert name == "" or names.check(name) == name


@given(st.lists(st.sampled_from(CLAUSE)))
@example(["on", "and,", "on", "a", "a", "a", "is", "walking"])
@example(["in", "a", "cat,", "on", "the", "and,", "under", "the", "the", "walking"])
def test_stripping_twice_changes_nothing(words: list[str]) -> None:
    once = prompts.invariant(" ".join(words))
    assert prompts.invariant(once) == once


@pytest.mark.parametrize(
    ("prompt", "other"),
    [
        ("a person doing the V*", "a car doing the V*"),
        ("two cats are running on the beach", "a car is running on the beach"),
        ("In the city, a cat is walking slowly", "a car is walking slowly"),
        ("a man runs", "a car runs"),
        ("the V*", "a car doing the V*"),
    ],
)
def test_another_does_what_is_done(prompt: str, other: str) -> None:
    assert prompts.with_subject(prompt, "a car") == other
