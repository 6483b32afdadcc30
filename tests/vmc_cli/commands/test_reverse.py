"""vmc reverse learns from the last frame to the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from registry.store import Store
from tests.vmc_cli.commands.conftest import Run


def _preview(store: Store, name: str) -> np.ndarray:
    raw = store.load(name)[1]["preview"]
    return np.frombuffer(raw.data, np.uint8).reshape(raw.shape)


def test_the_frames_are_learned_backward(run: Run, learned: str, tiny: str, clip: Path, store: Store) -> None:
    arguments = ("--prompt", "a seagull is walking backward", "--backbone", tiny, "--steps", "1")
    ran = run("reverse", clip, *arguments)
    assert ran.stdout == "seagull_walk_backward\n", ran.stderr
    forward, backward = _preview(store, learned), _preview(store, "seagull_walk_backward")
    assert (backward == forward[::-1]).all()
    assert (backward != forward).any()


def test_a_dry_run_says_backward(run: Run, tiny: str, clip: Path) -> None:
    ran = run("reverse", clip, "--prompt", "a seagull is walking backward", "--backbone", tiny, "--dry-run")
    assert "backward\n" in ran.stdout
