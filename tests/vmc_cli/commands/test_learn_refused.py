"""vmc learn refuses before it learns what it could not learn or not keep, in one line."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from registry.store import Store
from tests.vmc_cli.commands.conftest import Run, draw
from tests.vmc_cli.commands.test_learn import SEAGULL
from vmc_cli import backbones


def test_a_taken_name_is_refused_before_anything_is_read(
    run: Run, learned: str, tmp_path: Path, store: Store
) -> None:
    before = store.path(learned).read_bytes()
    (tmp_path / "no.mp4").write_text("not a clip")
    ran = run("learn", tmp_path / "no.mp4", *SEAGULL, "--name", learned)
    assert ran.rc == 6
    assert "--replace" in ran.stderr
    assert store.path(learned).read_bytes() == before


@pytest.mark.parametrize("more", [["--dry-run"], []])
def test_another_picture_is_not_overwritten_with_samples(
    *, more: list[str], run: Run, tiny: str, clip: Path, here: Path, store: Store
) -> None:
    (here / "seagull_walk_preview.png").write_bytes(b"precious")
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--preview-every", "2", *more)
    assert ran.rc == 6
    assert (here / "seagull_walk_preview.png").read_bytes() == b"precious"
    assert not store.entries()


@pytest.mark.parametrize(("sheet", "rc"), [("sheet.jpg", 2), ("nowhere/sheet.png", 5), ("taken.png", 6)])
def test_a_sheet_that_cannot_be_written_is_refused_before_learning(
    *, sheet: str, rc: int, run: Run, tiny: str, clip: Path, here: Path, store: Store
) -> None:
    (here / "taken.png").touch()
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--sheet", sheet)
    assert ran.rc == rc
    assert not store.entries()


@pytest.mark.parametrize(
    ("arguments", "rc", "said"),
    [
        (["clip", "--prompt", "  "], 2, "prompt is empty"),
        (["clip", "--prompt", "caf\udce9"], 2, "not UTF-8"),
        (["clip", "--prompt", "日本"], 2, "--name"),
        (["clip", *SEAGULL, "--name", "../up"], 2, "cannot be the name"),
        (["clip", *SEAGULL, "--backbone", "nothing"], 2, "sprites"),
        (["clip", *SEAGULL, "--method", "magic"], 2, "vmc"),
        (["clip", *SEAGULL, "--loss", "hope"], 2, "residual-cosine"),
        (["clip", *SEAGULL, "--rank", "many"], 2, "full"),
        (["clip", *SEAGULL, "--rank", "0"], 2, "full"),
        (["clip", *SEAGULL, "--steps", "0"], 2, "--steps"),
        (["clip", *SEAGULL, "--stride", "8"], 2, "8 frames"),
        (["clip", *SEAGULL, "--learning-rate", "nan"], 2, "--learning-rate"),
        (["clip", *SEAGULL, "--learning-rate", "0"], 2, "--learning-rate"),
        (["clip", *SEAGULL, "--sample-fps", "-1"], 2, "--sample-fps"),
        (["clip", *SEAGULL, "--trim", "3"], 2, "FROM:TO"),
        (["clip", *SEAGULL, "--trim", ":"], 2, "FROM:TO"),
        (["clip", *SEAGULL, "--trim", "3:1"], 2, "ends before"),
        (["clip", *SEAGULL, "--trim", "-1:2"], 2, "FROM:TO"),
        (["clip", *SEAGULL, "--trim", "a:b"], 2, "FROM:TO"),
        (["missing.mp4", *SEAGULL], 5, "missing.mp4"),
        (["clip", *SEAGULL, "--trim", "60:70"], 3, "clip"),
    ],
)
def test_a_wrong_wish_costs_no_model(
    *, arguments: list[str], rc: int, said: str, run: Run, here: Path, store: Store
) -> None:
    draw(here / "clip", frames=8)
    ran = run("learn", *arguments)
    assert ran.rc == rc, ran.stderr
    assert ran.stderr.count("\n") == 1
    assert said in ran.stderr
    assert ran.stdout == ""
    assert store.entries() == []


def test_a_short_clip_is_refused_with_what_to_do(run: Run, tiny: str, here: Path) -> None:
    ran = run("learn", draw(here / "short", frames=2), *SEAGULL, "--backbone", tiny)
    assert ran.rc == 3
    assert "4" in ran.stderr
    assert "2" in ran.stderr


def test_a_dry_run_fails_as_the_run_would(run: Run, learned: str, clip: Path) -> None:
    assert run("learn", clip, *SEAGULL, "--name", learned, "--dry-run").rc == 6


def test_a_place_for_checkpoints_that_cannot_be_made_is_told_before_the_model_is_loaded(
    *, run: Run, tiny: str, clip: Path, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "checkpoints").touch()
    monkeypatch.setattr(backbones, "load", lambda spec: pytest.fail("the model is loaded"))
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny)
    assert ran.rc == 8, ran.stderr
    assert "checkpoints cannot be written to" in ran.stderr
    assert store.entries() == []


@pytest.mark.parametrize("full", ["motions", "home"])
def test_a_disk_that_cannot_hold_the_motion_or_its_checkpoints_is_told_before_learning(
    *, full: str, run: Run, tiny: str, clip: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=1000 if folder.name == full else 1 << 40, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", state)
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny)
    assert ran.rc == 8
    assert "1,000 bytes free" in ran.stderr
    assert "VMC_HOME" in ran.stderr
    assert "Inverting" not in ran.stderr
    assert "Learning:" not in ran.stderr
    assert store.entries() == []
