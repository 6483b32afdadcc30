"""Many prompts in one file: a table of clips with what happens in each, or one prompt a line."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from vmc_cli.errors import DiskError, NotFoundError, UsageError

LARGEST = 4 << 20  # bytes
MOST = 10_000  # rows, or lines
COLUMNS = ("clip", "prompt", "name")
STDIN = Path("-")

_Found = TypeVar("_Found")
_DELIMITERS = ",;\t"  # spreadsheets write a semicolon where the comma is for decimals
_HEADER = 'Begin with the line "clip,prompt", or "clip,prompt,name" to name motions; one line a clip follows.'


class Row(NamedTuple):
    """What is said of one clip, from `line` of the file; the name is "" where it is to be made."""

    line: int
    clip: str
    prompt: str
    name: str


def read_table(path: Path) -> list[Row]:
    """The rows of a CSV file with a header: columns clip and prompt, and perhaps name; others do not count.

    Raises UsageError for what is no such table, NotFoundError, DiskError.
    """
    text = _text(path)
    delimiter = next((mark for mark in _DELIMITERS if _has_columns(_header(text, mark))), None)
    if delimiter is None:
        raise UsageError(f"{path} does not begin with a header that names clip and prompt.", _HEADER)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: list[Row] = []
    try:
        header = [_plain(cell).casefold() for cell in next(filter(any, lines))]
        for cells in lines:
            if any(map(_plain, cells)):
                found.append(_row(path, lines.line_num, header, cells))
    except csv.Error as error:
        raise UsageError(f"{path}, line {lines.line_num}: {error}.", "Close all quotation marks.") from None
    return _bounded(path, found)


def read_lines(path: Path) -> list[str]:
    """The prompts in a text file, one a line; empty lines do not count. `STDIN` stands for standard input.

    Raises UsageError, NotFoundError, DiskError.
    """
    lines = _text(path).replace("\r", "\n").split("\n")
    return _bounded(path, [prompt for line in lines if (prompt := _plain(line))])


def _row(path: Path, line: int, header: list[str], cells: list[str]) -> Row:
    where = f"{path}, line {line}"
    if len(cells) > len(header):
        raise UsageError(f"{where} has more cells than columns.", "Put quotes around a prompt with commas.")
    said = dict(zip(header, cells, strict=False))
    row = Row(line, *(_plain(said.get(column, "")) for column in COLUMNS))
    for column in COLUMNS[:2]:
        if not getattr(row, column):
            raise UsageError(f"{where} says no {column}.", f"Fill in the column {column}.")
    return row


def _has_columns(header: list[str]) -> bool:
    return all(header.count(column) == 1 for column in COLUMNS[:2]) and header.count(COLUMNS[2]) <= 1


def _header(text: str, delimiter: str) -> list[str]:
    first = text.lstrip("\r\n").replace("\r", "\n").partition("\n")[0]
    try:
        return [_plain(cell).casefold() for cell in next(csv.reader([first], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _plain(cell: str) -> str:
    return " ".join(cell.split())


def _bounded(path: Path, found: list[_Found]) -> list[_Found]:
    if not 0 < len(found) <= MOST:
        problem = "nothing to do" if not found else f"more than {MOST:,} prompts"
        raise UsageError(f"{path} holds {problem}.", "Write one a line.")
    return found


def _text(path: Path) -> str:
    try:
        data = _read(sys.stdin.buffer) if path == STDIN else _opened(path)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.", "Check the path; put quotes around it.") from None
    except OSError as error:
        raise DiskError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than {LARGEST >> 20} MB.", "Is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UsageError(f"{path} is not a text in UTF-8.", "Save it as UTF-8 (CSV UTF-8 in a spreadsheet).")
    return text


def _opened(path: Path) -> bytes:
    with path.open("rb") as file:
        return _read(file)


def _read(file: BinaryIO) -> bytes:
    return file.read(LARGEST + 1)
