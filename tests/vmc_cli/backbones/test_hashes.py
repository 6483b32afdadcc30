"""The hash of a large file is kept for the next command, as long as the file stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vmc_cli.backbones import hashes

OLD = 1_700_000_000  # a file's time, in seconds
KEPT_FORMERLY = "f" * 64
WATCHING = """
import sys
from vmc_cli.backbones import hashes
hashes.WORTH_KEEPING = 0
def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".safetensors"):
        print("read", arguments[0], file=sys.stderr)
sys.addaudithook(hook)
from vmc_cli import app
sys.exit(app.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hashes, "WORTH_KEEPING", 0)
    return tmp_path / "home"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file that was written long ago."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    os.utime(path, (OLD, OLD))
    return path


@pytest.fixture
def entry(weights: Path, home: Path) -> Path:
    """The entry of `weights`, with another hash than that of the content: so it shows when it is used."""
    asked(weights)
    [path] = (home / "cache" / "hashes").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "sha256": KEPT_FORMERLY}))
    return path


def asked(path: Path) -> str:
    """What a new process is told."""
    hashes._sha256.cache_clear()
    return hashes.sha256(path)


def real(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"WEIGHTS")


def overwrite_with_its_time_kept(path: Path) -> None:
    overwrite(path)
    os.utime(path, (OLD, OLD))


def another_takes_its_place(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"others!")
    os.utime(other, (OLD, OLD))
    other.replace(path)


def test_a_hash_is_that_of_the_content(weights: Path) -> None:
    assert asked(weights) == asked(weights) == real(weights)


@pytest.mark.usefixtures("entry")
def test_what_was_kept_is_used_instead_of_the_content(weights: Path) -> None:
    assert asked(weights) == KEPT_FORMERLY


@pytest.mark.usefixtures("entry")
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"longer than before"),
        overwrite,
        overwrite_with_its_time_kept,
        another_takes_its_place,
    ],
    ids=["longer", "as long", "as long and as old", "another"],
)
def test_a_changed_file_is_hashed_anew(weights: Path, change: Callable[[Path], None]) -> None:
    change(weights)
    assert asked(weights) == real(weights) != KEPT_FORMERLY


def test_a_file_that_changes_between_two_questions_is_seen(weights: Path) -> None:
    before = hashes.sha256(weights)
    overwrite(weights)
    assert hashes.sha256(weights) == real(weights) != before


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", "{}", '{"sha256": 7}', "[" * 4000, "\udcff"],
    ids=["empty", "cut", "list", "number", "nothing", "no hash", "deep", "no text"],
)
def test_a_broken_entry_is_ignored_and_mended(weights: Path, entry: Path, content: str) -> None:
    entry.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert asked(weights) == real(weights)
    assert json.loads(entry.read_text())["sha256"] == real(weights)


@pytest.mark.parametrize("hash", ["", "f" * 63, "g" * 64, 7, None])
def test_an_entry_with_something_else_than_a_hash_is_ignored(
    weights: Path, entry: Path, hash: object
) -> None:
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "sha256": hash}))
    assert asked(weights) == real(weights)


def test_a_file_that_was_just_written_may_change_within_a_tick_and_is_not_kept(
    weights: Path, home: Path
) -> None:
    os.utime(weights)
    assert asked(weights) == real(weights)
    assert not home.exists()


def test_of_a_small_file_nothing_is_kept(weights: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "WORTH_KEEPING", len(b"weights") + 1)
    assert asked(weights) == real(weights)
    assert not home.exists()


def test_without_a_place_to_keep_it_a_hash_is_told_all_the_same(weights: Path, home: Path) -> None:
    home.write_text("a file")
    assert asked(weights) == real(weights)


def test_a_second_command_reads_no_weights_until_they_change(tmp_path: Path, home: Path) -> None:
    unet, vae = (tmp_path / "mine" / part / "diffusion_pytorch_model.safetensors" for part in ("unet", "vae"))
    for path in (unet, vae):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        os.utime(path, (OLD, OLD))
    (unet.parent / "config.json").write_text('{"_class_name": "UNet3DConditionModel"}')
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def command() -> tuple[list[str], str]:
        """The weights that were read, and what was said of the model."""
        line = [sys.executable, "-c", WATCHING, "backbones", "show", tmp_path / "mine"]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
        said = done.stderr.splitlines()
        return sorted(text.removeprefix("read ") for text in said if text.startswith("read ")), done.stdout

    read, shown = command()
    assert read == [str(unet), str(vae)]
    assert command() == ([], shown)
    overwrite(vae)
    read, shown_later = command()
    assert read == [str(vae)]
    assert shown_later != shown
