"""What strangers wrote into motions, prompts and file names reaches the terminal as text, never as orders."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.card import Source
from registry.store import Store
from tests import specimens
from tests.conftest import Ran
from vmc_cli import terminal

ATTACKS = [
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x9b2J\x90q\x9c",
    "harmless\rrm -rf /",
    "up\x1bMdown\x08\x08\x7f",
    "\u202egnp.exe\u2066\u200b\ufeff",
    "[bold red]markup[/] :skull: [link=http://evil.example]x[/link]",
    "z" + "\u0337\u0321" * 500,
    "one\ntwo\vthree\ffour\u2028five\u0085six",
    "long " * 50_000,
]
SAY = "\n\n".join(ATTACKS)

ALLOWED = re.compile(r"\x1b\[(?:0|1|2|31;1|33)m")
"""The styles that vmc itself paints with."""


def assert_harmless(written: str) -> None:
    left = ALLOWED.sub("", written)
    steering = {character for character in left if character < " " and character not in "\n\r"}
    assert not steering
    assert not re.search("[\x7f-\x9f\u200b\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]", left)
    # Only progress returns to the line's beginning, and there is none here.
    assert "\r" not in left


@pytest.fixture
def poisoned(store: Store) -> Store:
    with store.writing("gull") as slot:
        card = specimens.card(
            prompt=SAY,
            prompt_used=SAY,
            backbone=SAY,
            revision=SAY,
            method=SAY,
            recipe={SAY: SAY},
            versions={SAY: SAY},
            created=SAY,
            sources=(Source(SAY, SAY),),
            extra={SAY: SAY},
        )
        slot.publish(card, specimens.tensors())
    (store.root / "bad\x1b[2J\nname\u202e.safetensors").write_bytes(b"not a motion")
    (store.root / b"\xff\x1b[31m.txt".decode("utf-8", "surrogateescape")).write_bytes(b"")
    return store


@pytest.mark.parametrize(
    ("arguments", "rc"),
    [
        (["list"], 0),
        (["show", "gull"], 0),
        (["list", "--json"], 0),
        (["show", "gull", "--json"], 0),
        (["generate", ATTACKS[0], "--motion", "gull"], 7),
        (["style", "gull", ATTACKS[1]], 7),
        (["show", ATTACKS[0]], 2),
        (["learn", ATTACKS[2], "--prompt", ATTACKS[3]], 5),
        (["generate", "a cat", "--out", ATTACKS[4] + ".mp4/x.mp4"], 5),
        (["generate", "a cat", "--noise", ATTACKS[5]], 2),
        (["rename", "gull", ATTACKS[6]], 2),
        ([ATTACKS[0]], 2),
        (["list", "--" + ATTACKS[0]], 2),
        (["list", "--sort", ATTACKS[8]], 2),
    ],
)
def test_no_command_lets_it_through(
    arguments: list[str], rc: int, poisoned: Store, on_terminal: Callable[..., Ran]
) -> None:
    ran = on_terminal(*arguments)
    assert ran.rc == rc, ran.stdout
    assert ran.stdout
    assert_harmless(ran.stdout)


def test_markup_is_shown_as_it_was_written(store: Store, on_terminal: Callable[..., Ran]) -> None:
    with store.writing("gull") as slot:
        slot.publish(
            specimens.card(prompt="[red]a gull[/red] :smile:", prompt_used="[red]x"), specimens.tensors()
        )
    assert "[red]a gull[/red] :smile:" in on_terminal("show", "gull").stdout
    assert "[red]x" in on_terminal("list").stdout


@settings(max_examples=2000, deadline=None)
@given(st.text(st.characters(codec=None) | st.sampled_from("\x1b\x9b\r\u202e\u0301")))
def test_no_text_steers_a_terminal(text: str) -> None:
    assert_harmless(terminal.safe(text))
    assert "\n" not in terminal.safe(text)


@pytest.mark.stress
def test_no_code_point_steers_a_terminal() -> None:
    for code in range(0x110000):
        assert_harmless(terminal.safe(f"a{chr(code)}b"))
