"""Many prompts in one file: read however spreadsheets write them, and a sentence for the rest."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from vmc_cli import prompt_files
from vmc_cli.errors import DiskError, NotFoundError, UsageError
from vmc_cli.prompt_files import Row, read_lines, read_table

TABLE = 'clip,prompt,name\na.mp4,"a man walks, slowly",man\nb.mp4,a dog runs,\n'
ROWS = [Row(2, "a.mp4", "a man walks, slowly", "man"), Row(3, "b.mp4", "a dog runs", "")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "captions.csv"


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        "\ufeff" + TABLE,
        TABLE.replace("clip,prompt,name", " Clip ,PROMPT,Name"),
        TABLE.replace("b.mp4", " b.mp4 ").replace("a dog runs", '"a  dog\truns"'),
        "name;prompt;clip\nman;a man walks, slowly;a.mp4\n;a dog runs;b.mp4\n",
        "clip\tprompt\tname\na.mp4\ta man walks, slowly\tman\nb.mp4\ta dog runs\n",
        'clip,seconds,prompt,name\na.mp4,3,"a man walks, slowly",man\nb.mp4,4,a dog runs',
    ],
    ids=["plain", "crlf", "bom", "capitals", "spaces", "semicolons", "tabs", "another column"],
)
def test_a_table_is_read_however_it_is_spelled(content: str, file: Path) -> None:
    file.write_bytes(content.encode())
    assert read_table(file) == ROWS


def test_a_prompt_may_hold_quotes_lines_and_any_letter(file: Path) -> None:
    file.write_bytes('clip,prompt\n\na.mp4,"a ""fast""\nmän 鸭 walks"\n,\n'.encode())
    assert [row[1:] for row in read_table(file)] == [("a.mp4", 'a "fast" män 鸭 walks', "")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "header"),
        (b"a.mp4,a man walks\n", "header that names clip and prompt"),
        (b"file,prompt\na.mp4,a man walks\n", "header"),
        (b"clip,prompt,prompt\na.mp4,a,b\n", "header"),
        (b"clip,prompt,name,name\na.mp4,a,b,c\n", "header"),
        (b"clip,prompt\n", "nothing to do"),
        (b"clip,prompt\na.mp4\n", "line 2 says no prompt"),
        (b"clip,prompt\na.mp4,  \n", "line 2 says no prompt"),
        (b"clip,prompt\n,a man walks\n", "line 2 says no clip"),
        (b"clip,prompt\na.mp4,a man walks, slowly\n", "line 2 has more cells than columns"),
        (b'clip,prompt\na.mp4,"a man walks\nb.mp4,a dog runs\n', "line 3"),
        (b'clip,prompt\na.mp4,"a man" walks\n', "line 2"),
        (b"clip,prompt\na.mp4," + b"a" * 200_000, "line 2"),
        (b"[" * 200_000, "header"),
        ("clip,prompt\na.mp4,ein Mädchen\n".encode("latin-1"), "UTF-8"),
        (TABLE.encode("utf-16"), "UTF-8"),
        (b"clip,prompt\na.mp4,a\0b\n", "UTF-8"),
        (b"clip,prompt\n" + b"x" * prompt_files.LARGEST, "larger than 4 MB"),
        (b"clip,prompt\n" + b"a,b\n" * 10_001, "more than 10,000"),
    ],
)
def test_what_is_no_table_is_one_sentence_with_its_line(content: bytes, said: str, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_table(file)
    assert said in caught.value.message
    assert str(file) in caught.value.message
    assert caught.value.hint


def test_a_file_that_cannot_be_read_is_told(file: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_table(file)
    with pytest.raises(DiskError):
        read_lines(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_line_is_a_prompt_and_empty_ones_do_not_count(end: str, file: Path) -> None:
    text = end.join(["\ufeff", "  a man walks, slowly ", "", "\t", '"a dog" runs', "# five ducks"])
    file.write_bytes(text.replace("\ufeff" + end, "\ufeff", 1).encode())
    assert read_lines(file) == ["a man walks, slowly", '"a dog" runs', "# five ducks"]


def test_prompts_come_from_standard_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a cat runs\na dog runs")))
    assert read_lines(prompt_files.STDIN) == ["a cat runs", "a dog runs"]
