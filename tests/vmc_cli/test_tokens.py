"""A token is shown as it was written, and told to the model as a rare word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import specimens
from vmc_cli import tokens
from vmc_cli.errors import IncompatibleError, UsageError
from vmc_cli.tokens import WORDS, Token


def card(name, **extra):
    return specimens.card(name=name, prompt_used=f"a person doing the {extra.get('token')}", extra=extra)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a person doing the V*", "a person doing the pll"),
        ("V* v*, (V*)", "pll pll, (pll)"),
        ("doing the V*.", "doing the pll."),
        ("AV* V*s V V**", "AV* V*s V pll*"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_each_whole_token_is_spoken_as_its_word(prompt, said):
    assert tokens.spoken(prompt, [Token("V*", "pll")]) == said


def test_the_first_free_word_is_taken_and_the_least_used_where_none_is():
    assert tokens.chosen(" V* ", []) == Token("V*", WORDS[0])
    assert tokens.chosen("V*", [Token("A*", WORDS[0]), Token("C*", WORDS[2])]) == Token("V*", WORDS[1])
    taken: list[Token] = []
    for number in range(2 * len(WORDS)):
        taken.append(tokens.chosen(f"V{number}", taken))
    assert [token.word for token in taken] == [*WORDS, *WORDS]
    del taken[2]
    assert tokens.chosen("V*", taken).word == WORDS[2]


@pytest.mark.parametrize("shown", ["", "  ", "two words", "V*\n", "x" * 41, "\x1b[31m"])
def test_what_is_no_short_word_cannot_be_a_token(shown):
    if shown.strip() == "V*":
        assert tokens.chosen(shown, []).shown == "V*"
        return
    with pytest.raises(UsageError, match="cannot be a token"):
        tokens.chosen(shown, [])


def test_a_prompt_must_say_it():
    with pytest.raises(UsageError, match=r"does not say V\*"):
        tokens.require_said("a person is dancing", Token("V*", "pll"))
    tokens.require_said("a person doing the V*", Token("V*", "pll"))
    one = card("carlton", token="V*", word="pll")
    with pytest.raises(UsageError, match=r"does not say V\*, for which carlton stands") as caught:
        tokens.agreed("a person is dancing", [one, card("walk")])
    assert "a person doing the V*" in caught.value.hint
    tokens.agreed("a dog doing the V*", [one, card("walk")])


@pytest.mark.parametrize(
    ("other", "problem", "hint"),
    [
        ({"token": "V*", "word": "sks"}, r"a and b both have the token V\*", "another --token"),
        ({"token": "W*", "word": "pll"}, "a and b are both told to the model as pll", "pll, sks, zwx, ohwx"),
    ],
)
def test_motions_that_cannot_be_told_apart_are_refused(other, problem, hint):
    with pytest.raises(IncompatibleError, match=problem) as caught:
        tokens.agreed("the V* and W*", [card("a", token="V*", word="pll"), card("b", **other)])
    assert hint in caught.value.hint
    named = [("b", Token(other["token"], other["word"]))]
    with pytest.raises(IncompatibleError, match=problem):
        tokens.agreed("the V* and W*", [card("a", token="v*", word="pll")], named)


def test_a_word_from_elsewhere_must_be_said_too():
    named = [("cat.safetensors", Token("<cat>", "sks"))]
    tokens.agreed("a <cat> is dancing", [], named)
    with pytest.raises(UsageError, match=r"does not say <cat>, for which cat\.safetensors stands"):
        tokens.agreed("a cat is dancing", [], named)


def test_a_token_may_be_shown_as_the_word_of_another():
    said = tokens.spoken("a sks dog doing the V*, the v*+", [Token("V*", "sks"), Token("sks", "pll")])
    assert said == "a pll dog doing the sks, the sks+"
    longer = [Token("V*", "sks"), Token("V*+", "zwx")]
    assert tokens.spoken("V* and V*+", longer) == tokens.spoken("V* and V*+", longer[::-1]) == "sks and zwx"


@pytest.mark.parametrize(
    "extra", [{}, {"token": "V*"}, {"token": 3, "word": "x"}, {"token": "V*", "word": ""}]
)
def test_a_card_without_a_whole_token_has_none(extra):
    assert tokens.of(specimens.card(extra=extra)) is None


@given(shown=st.text(min_size=1, max_size=8), prompt=st.text(max_size=40), word=st.text(max_size=8))
def test_any_text_can_be_spoken(shown, prompt, word):
    said = tokens.spoken(prompt, [Token(shown, word)])
    if not Token(shown, word).is_in(prompt):
        assert said == prompt
