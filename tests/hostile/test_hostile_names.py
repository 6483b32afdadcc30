"""Names that want out of their folder."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import names
from registry.errors import BadName
from registry.store import Store

HOSTILE = [
    *(
        "",
        ".",
        "..",
        "../x",
        "../../etc/passwd",
        "/abs",
        "a/b",
        "a\\b",
        "..\\x",
        "C:x",
        "C:\\x",
        "\\\\host\\x",
    ),
    *(
        "~",
        "~root",
        "$HOME",
        "${HOME}",
        "%TEMP%",
        "`id`",
        "$(id)",
        "a;b",
        "a|b",
        "a&b",
        "a>b",
        "*",
        "?",
        "a*",
    ),
    *("-rf", "--force", ".hidden", "_x", "x_", "x-", "x.", "x ", " x", "x.safetensors", "x.lock", ".trash"),
    *(
        "a\0",
        "\0",
        "a\nb",
        "a\n",
        "\na",
        "a\rb",
        "a\tb",
        "\x1b[31m",
        "a\x7f",
        "\x1b]0;x\x07",
        "a\x85b",
        "a\u2028",
    ),
    *("con", "prn", "aux", "nul", "com0", "com1", "com9", "lpt1", "lpt9", "CON", "Nul.txt", "com¹", "lpt³"),
    *("conin$", "conout$", "Seagull", "SEAGULL", "sEagull", "ı", "İ", "K", "ſ", "ﬀ", "é", "e\u0301", "日本"),
    *(
        "a\u200bb",
        "a\u202eb",
        "\ufeffa",
        "a\u00ad",
        "a\u0301",
        "\U0001f9ff",
        "а",
        "ɑ",
        "\ud800",
        "a\udcff",
        "０",
        "²",
    ),
    *(
        "x" * 65,
        "x" * 255,
        "x" * 5000,
        "x" * 100_000,
        "[bold]x",
        "a,b",
        "a:b",
        "a=b",
        "a@b",
        "a#b",
        "a b",
        "a'b",
    ),
]
PIECES = [
    *"ab0_-./\\:~ ",
    "..",
    "con",
    "nul",
    "\0",
    "\n",
    "\x1b",
    "é",
    "İ",
    "\u200b",
    "\u202e",
    "\ud800",
    "A",
    "x" * 64,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_with_a_hint(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadName) as refusal:
        Store(tmp_path / "motions").path(name)
    assert refusal.value.hint
    assert len(refusal.value.message) < 500
    assert not any(ord(character) < 32 for character in refusal.value.message)
    assert os.listdir(tmp_path) == []


def escapes(name: str) -> bool:
    """Whether `name` is accepted and does not stay what it is, where it belongs."""
    try:
        names.check(name)
    except BadName:
        slug = names.slug(name)
        return bool(slug) and escapes(slug)
    root = Path("/somewhere/motions")
    path = root / f"{name}.safetensors"
    return (
        path.parent != root
        or os.path.normpath(path) != str(path)
        or not name.isascii()
        or name != name.lower()
        or len(name) > 64
        or not all(character.isalnum() or character in "_-" for character in name)
    )


def test_no_random_name_escapes() -> None:
    chance = random.Random(3)
    for _ in range(20_000):
        assert not escapes("".join(chance.choices(PIECES, k=chance.randint(0, 6))))


@given(st.text(st.characters()))
def test_no_text_escapes(name: str) -> None:
    assert not escapes(name)


@pytest.mark.stress
@given(st.text(st.characters()) | st.lists(st.sampled_from(PIECES)).map("".join))
@settings(max_examples=100_000, deadline=None)
def test_no_text_of_a_hundred_thousand_escapes(name: str) -> None:
    assert not escapes(name)


def test_accepted_characters_are_the_thirty_eight() -> None:
    accepted = {c for c in map(chr, range(sys.maxunicode + 1)) if names._NAME.fullmatch(f"a{c}a")}
    assert accepted == set("abcdefghijklmnopqrstuvwxyz0123456789_-")
