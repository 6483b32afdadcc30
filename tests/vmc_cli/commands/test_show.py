"""vmc show tells the card, and shows the learned clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.store import Store
from tests import specimens
from tests.vmc_cli.commands.conftest import Run, parsed
from vmc_cli import clip


def test_the_card_is_told(run: Run, store: Store) -> None:
    specimens.save(store, "seagull_walk")
    ran = run("show", "seagull_walk")
    assert ran.rc == 0
    for told in (
        "a seagull is walking on the beach",
        "seagull.mp4",
        "sprites",
        "rank 16",
        "8 of 64x64",
        "0.1250",
    ):
        assert told in ran.stdout
    assert str(store.path("seagull_walk")) in ran.stdout


def test_json_is_the_whole_card(run: Run, store: Store) -> None:
    specimens.save(store, "seagull_walk")
    found = parsed(run("show", "seagull_walk", "--json"))
    assert found["revision"] == "5f" * 32
    assert found["versions"] == {"vmc": "0.1.0", "torch": "2.13.0"}
    assert Path(found["file"]) == store.path("seagull_walk")


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_the_preview_is_the_learned_clip(suffix: str, run: Run, learned: str, here: Path) -> None:
    ran = run("show", learned, "--preview", f"clip{suffix}")
    assert ran.rc == 0, ran.stderr
    frames = clip.read(here / f"clip{suffix}", frames=4, height=32, width=32).frames
    bright = [frame[15].astype(int).sum(-1).argmax() for frame in frames]
    assert bright == sorted(bright)
    assert bright[-1] > bright[0]


def test_a_preview_overwrites_with_force_only(run: Run, learned: str, here: Path) -> None:
    (here / "clip.gif").write_bytes(b"precious")
    assert run("show", learned, "--preview", "clip.gif").rc == 6
    assert (here / "clip.gif").read_bytes() == b"precious"
    assert run("show", learned, "--preview", "clip.gif", "--force").rc == 0
    assert (here / "clip.gif").read_bytes() != b"precious"


def test_what_is_not_there_or_not_whole_is_said(run: Run, store: Store) -> None:
    path = specimens.save(store, "seagull_walk")
    missing = run("show", "seagul_walk")
    assert missing.rc == 5
    assert "seagull_walk" in missing.stderr
    assert run("show", "seagull_walk", "--preview", "x.gif").rc == 4  # its preview is no video
    path.write_bytes(path.read_bytes()[:200])
    assert run("show", "seagull_walk").rc == 4
