"""What reaches a terminal: data on stdout, talk on stderr, nothing unsanitised on either.

Everything that comes from a file, a card, a prompt, a path or a library's message is shown through `safe`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

_COMBINING_MARKS = 2  # as many as any living script stacks on one letter
_STYLES = {"error": "31;1", "warning": "33", "heading": "1", "faint": "2"}

warnings: list[str] = []
"""What `warn` was told in this run, so that JSON output can carry it."""


@dataclass
class _State:
    """What the process has promised its one terminal."""

    quiet: bool = False
    progress_shown: bool = False


_state = _State()


def prepare(*, quiet: bool = False) -> None:
    """Make the standard streams safe to use and forget an earlier run. Called once, before anything is said.

    A closed stdin, stdout or stderr is replaced by the null device, or else the next file opened would take
    its number and receive what is printed. Characters that the encoding lacks are shown as escapes.
    """
    _state.quiet, _state.progress_shown = quiet, False
    warnings.clear()
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - lives as long as we
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def be_quiet() -> None:
    """From now on only errors are said on stderr; warnings are still collected."""
    _state.quiet = True


def safe(text: object, limit: int = 300) -> str:
    """One line of `text` that cannot steer a terminal, at most `limit` characters.

    Control, format (bidi), private, unassigned and line-separating characters go, white space becomes single
    spaces, bytes that were no text become U+FFFD, and no letter keeps more than two combining marks.
    """
    kept: list[str] = []
    marks = 0
    # Four times the limit: dropped characters do not count, but a huge text must not cost time.
    for character in str(text)[: 4 * limit + 1]:
        category = unicodedata.category(character)
        if category[0] == "C" and category != "Cs" and not character.isspace():
            continue
        shown = " " if character.isspace() else "\ufffd" if category == "Cs" else character
        marks = marks + 1 if category[0] == "M" else 0
        if marks <= _COMBINING_MARKS and not (shown == " " and kept[-1:] == [" "]):
            kept.append(shown)
    line = "".join(kept).strip()
    return line if len(line) <= limit else line[: max(0, limit - 3)] + "..."


def columns() -> int:
    """Width of the terminal in cells, at least 1; 80 where there is none."""
    return max(1, shutil.get_terminal_size((80, 24)).columns)


def cells(text: str) -> int:
    """Cells that `text` covers on a terminal."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def fitted(text: str, width: int) -> str:
    """`text` cut, with dots, to at most `width` cells."""
    if cells(text) <= width:
        return text
    dots = "..."[:width]
    while text and cells(text) + len(dots) > width:
        text = text[:-1]
    return text + dots


def interactive(stream: TextIO) -> bool:
    """Whether a person's terminal is at the other end, one that can rewrite a line."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def painted(text: str, style: str, stream: TextIO) -> str:
    """`text` in a style, where the stream is a terminal and nobody asked for no colour (no-color.org)."""
    if os.environ.get("NO_COLOR") or not interactive(stream):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def emit(text: str) -> None:
    """A line of data for stdout. Raises OSError when it cannot be written, as all that emit do."""
    _emit_line(safe(text, 4096))


def emit_fields(fields: Sequence[tuple[str, object]]) -> None:
    """Keys and what they are, a line each, for people."""
    shown = [(safe(key, 40) + ":", safe(value, 4096)) for key, value in fields]
    width = max(cells(key) for key, _ in shown)
    for key, value in shown:
        _emit_line(key + " " * (width - cells(key) + 1) + value)


def emit_path(path: Path) -> None:
    """A path as data for stdout: its exact bytes for a script, a readable form for a terminal."""
    _emit_bytes(
        safe(path, 4096).encode(_encoding(), "backslashreplace") if sys.stdout.isatty() else os.fsencode(path)
    )


def emit_json(value: Any) -> None:
    """One JSON document on one line of stdout, in ASCII."""
    _emit_line(json.dumps(value))


def emit_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headings, for people. The first column is never cut; the others give way, the last first."""
    shown = [[safe(cell, 1000) for cell in row] for row in rows]
    widths = [max(cells(cell) for cell in column) for column in zip(headings, *shown, strict=True)]
    # A long text may not push the columns behind it away: no column but the first takes over a third.
    widths = widths[:1] + [min(width, max(12, columns() // 3)) for width in widths[1:]]
    room, used = columns() - widths[0], 1
    for width in widths[1:]:
        if room < min(width, 8) + 2:
            break
        widths[used] = min(width, room - 2)
        room -= widths[used] + 2
        used += 1
    for number, row in enumerate([list(headings), *shown]):
        texts = [row[0], *(fitted(cell, width) for cell, width in zip(row[1:used], widths[1:], strict=False))]
        padding = (" " * (width - cells(text)) for text, width in zip(texts, widths, strict=False))
        line = "  ".join(text + pad for text, pad in zip(texts, padding, strict=True)).rstrip()
        _emit_line(painted(line, "heading", sys.stdout) if number == 0 else line)


def say(text: object) -> None:
    """Talk: a line on stderr, unless quiet."""
    if not _state.quiet:
        _write_line(safe(text, 2000))


def warn(text: object) -> None:
    """Something that the user should know and that does not stop us."""
    line = safe(text, 2000)
    warnings.append(line)
    if not _state.quiet:
        _write_line(painted("warning:", "warning", sys.stderr) + " " + line)


def error(message: str, hint: str, *, code: int, kind: str, as_json: bool) -> None:
    """The one line that says why a command failed; said even when quiet."""
    message, hint = safe(message, 2000), safe(hint, 2000)
    if as_json:
        _write_line(json.dumps({"code": code, "kind": kind, "message": message, "hint": hint}))
        return
    ended = message if message.endswith((".", "!", "?")) else message + "."
    _write_line(f"{painted('error:', 'error', sys.stderr)} {ended} {hint}".rstrip())


def show_progress(line: str) -> None:
    """Replace the line of progress at the bottom of the terminal; an empty one clears it."""
    width = columns() - 1
    _write("\r" + fitted(line, width).ljust(width) + ("" if line else "\r"))
    _state.progress_shown = bool(line)


def talks_progress() -> bool:
    """Whether a line of progress may be rewritten on stderr."""
    return not _state.quiet and interactive(sys.stderr)


def _emit_line(line: str) -> None:
    _emit_bytes(line.encode(_encoding(), "backslashreplace"))


def _emit_bytes(line: bytes) -> None:
    """All of a line or an error: an unbuffered text stream would lose what one write does not take."""
    sys.stdout.flush()
    rest = memoryview(line + b"\n")
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def _encoding() -> str:
    return sys.stdout.encoding or "utf-8"


def _write_line(line: str) -> None:
    if _state.progress_shown:
        show_progress("")
    _write(line + "\n")


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # nobody listens; what is said on stderr is not worth failing for
