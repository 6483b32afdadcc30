"""Nothing steers the terminal, data and talk keep apart, and any width and encoding will do."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmc_cli import terminal


@pytest.fixture(autouse=True)
def _prepared() -> None:
    terminal.prepare()


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "]8;;http://evillink]8;;"),
        ("\x1b]52;c;cm0gLXJm\x07", "]52;c;cm0gLXJm"),
        ("visible\rhidden", "visible hidden"),
        ("one\ntwo\u2028three\u2029four", "one two three four"),
        ("abc\u202edcba", "abcdcba"),
        ("a\u200bb\ufeffc", "abc"),
        ("e" + "\u0301" * 50 + "x", "e\u0301\u0301x"),
        ("\x9b31m\x00\x7f", "31m"),
        ("\udcff.mp4", "\ufffd.mp4"),
        ("[red]bold[/red] :smile:", "[red]bold[/red] :smile:"),
        ("  two   spaces ", "two spaces"),
        ("日本 🦆 café", "日本 🦆 café"),
    ],
)
def test_text_is_shown_and_obeyed_never(hostile: str, shown: str) -> None:
    assert terminal.safe(hostile) == shown


@given(st.text(st.characters(codec=None)), st.integers(0, 100))
def test_any_text_becomes_one_short_harmless_line(text: str, limit: int) -> None:
    line = terminal.safe(text, limit)
    assert len(line) <= max(limit, 3)
    assert not any(unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp") for c in line)
    assert terminal.safe(line, limit + 3) == line
    line.encode("utf-8")


def test_a_huge_text_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0

    def category(character: str) -> str:
        nonlocal looked_at
        looked_at += 1
        return "Cf"

    monkeypatch.setattr(terminal.unicodedata, "category", category)
    terminal.safe("\u202e" * 1_000_000, 300)
    assert looked_at < 2000


def test_only_errors_are_said_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.be_quiet()
    terminal.say("hint")
    terminal.warn("careful")
    terminal.error("It broke", "Mend it.", code=1, kind="internal", as_json=False)
    assert capsys.readouterr() == ("", "error: It broke. Mend it.\n")
    assert terminal.warnings == ["careful"]


@pytest.mark.parametrize("width", [1, 2, 7, 20, 40, 80, 300])
def test_tables_keep_names_whole_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [["a_long_name_of_a_motion_number_1", "海鸥在飞 " * 20, "sprites"], ["b", "\x1b[31m", ""]]
    terminal.emit_table(["NAME", "PROMPT", "BACKBONE"], rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "a_long_name_of_a_motion_number_1", "b"]
    assert all(terminal.cells(line) <= max(width, len("a_long_name_of_a_motion_number_1")) for line in lines)
    assert "\x1b" not in "".join(lines)


@given(st.text(max_size=30), st.integers(0, 30))
def test_cut_texts_fit_their_cells(text: str, width: int) -> None:
    assert terminal.cells(terminal.fitted(terminal.safe(text), width)) <= width


class _Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),  # an empty one counts as none (no-color.org)
    ],
)
def test_colour_needs_a_terminal_that_wants_it(
    settings: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b" in terminal.painted("text", "error", _Screen())) is coloured
    assert terminal.painted("text", "error", io.StringIO()) == "text"


def test_talk_clears_the_progress_line_first(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "20")
    terminal.show_progress("Learning 3/10")
    terminal.say("note")
    assert screen.getvalue() == "\r" + "Learning 3/10".ljust(19) + "\r" + " " * 19 + "\r" + "note\n"


def test_a_script_gets_the_exact_bytes_of_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    binary = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(binary, encoding="ascii"))
    terminal.emit_path(Path(os.fsdecode(b"\xff duck.mp4")))
    assert binary.getvalue() == b"\xff duck.mp4\n"


def test_characters_that_the_encoding_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    binary = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(binary, encoding="ascii"))
    terminal.prepare()
    terminal.emit("日本")
    assert binary.getvalue() == b"\\u65e5\\u672c\n"


def test_a_closed_stderr_silences_talk_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    terminal.say("nobody hears this")
    assert not terminal.talks_progress()
