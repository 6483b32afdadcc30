from __future__ import annotations

import sys
import unicodedata
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry import names
from registry.errors import BadName


@pytest.mark.parametrize("name", ["a", "7", "seagull_walk", "a-b", "a" * 64, "com", "com10", "a__--b"])
def test_a_good_name_passes_as_it_is(name: str) -> None:
    assert names.check(name) == name


def test_a_capital_letter_is_refused_and_the_hint_names_the_folded_one() -> None:
    with pytest.raises(BadName) as refusal:
        names.check("Seagull Walk")
    assert "seagull_walk" in refusal.value.hint
    assert refusal.value.code == 2


def test_a_long_name_is_not_repeated_whole() -> None:
    with pytest.raises(BadName) as refusal:
        names.check("x" * 5000)
    assert len(refusal.value.message) < 150


def test_a_name_of_which_nothing_is_left_gets_the_rule_as_hint() -> None:
    with pytest.raises(BadName) as refusal:
        names.check("日本")
    assert refusal.value.hint == names.RULE


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("A Seagull, walking!", "a_seagull_walking"),
        ("Café Müller", "cafe_muller"),
        ("ﬀ İ K Straße", "ff_i_k_strasse"),
        ("sea\N{ZERO WIDTH SPACE}gull", "seagull"),
        ("sea—gull", "sea_gull"),
        ("日本", ""),
        ("", ""),
        ("../../etc", "etc"),
        ("CON", "con_motion"),
        ("com1", "com1_motion"),
        ("x" * 63 + "_y", "x" * 63),
    ],
)
def test_slug(text: str, slug: str) -> None:
    assert names.slug(text) == slug


@given(st.text())
@example("a" * 63 + "-" + "a" * 9)
@example("nul")
def test_a_slug_is_a_good_name_or_nothing_and_its_own_slug(text: str) -> None:
    slug = names.slug(text)
    assert slug == "" or names.check(slug) == slug
    assert names.slug(slug) == slug


@given(st.from_regex(names._NAME, fullmatch=True))
def test_the_slug_of_a_good_name_is_that_name(name: str) -> None:
    if name not in names._DEVICES:
        assert names.slug(names.check(name)) == name


def test_every_character_alone_gives_a_good_name_or_nothing() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        slug = names.slug(character)
        if slug and not ("a" <= slug <= "z" or slug.isdigit()):
            names.check(slug)
        if not slug:
            assert not (character.isascii() and character.isalnum())


@given(st.text(st.characters(codec="utf-8")))
def test_a_name_that_is_accepted_stays_in_its_folder(name: str) -> None:
    try:
        names.check(name)
    except BadName:
        return
    root = Path("/somewhere/motions")
    assert (root / f"{name}.safetensors").parent == root
    assert name.isascii()
    assert not any(unicodedata.category(c).startswith("C") for c in name)


def test_numbered_names_are_all_good_and_all_different() -> None:
    for start in ("seagull", "a" * 64, "a" * 61 + "-bc", "b" * 60 + "_-_c"):
        many = list(islice(names.numbered(start), 1200))
        assert many[0] == start
        assert len(set(many)) == 1200
        assert [names.check(name) for name in many] == many
    assert list(islice(names.numbered("seagull"), 3)) == ["seagull", "seagull_2", "seagull_3"]


def test_numbering_refuses_a_bad_start() -> None:
    with pytest.raises(BadName):
        next(names.numbered("Bad"))
