"""What vmc learn was doing when it was stopped, or ran out of room, is not lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.store import Store
from tests.vmc_cli.commands.conftest import Run
from tests.vmc_cli.commands.test_learn import SEAGULL
from vmc_cli import progress
from vmc_cli.errors import Stopped


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """A signal arrives while step number `steps` of learning runs."""
    step = progress.Progress.step

    def stopping(self: progress.Progress, loss: float | None = None) -> None:
        step(self, loss)
        if self.line(80).startswith(f"Learning  {steps}/"):
            raise Stopped(2)

    monkeypatch.setattr(progress.Progress, "step", stopping)


def test_an_interrupted_run_keeps_nothing_half_written_and_resumes_to_the_same_motion(
    run: Run, tiny: str, clip: Path, store: Store, tmp_path: Path
) -> None:
    arguments = ("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "5")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)
        stopped = run(*arguments)
    assert stopped.rc == 130
    assert stopped.stdout == ""
    assert "nothing half-written" in stopped.stderr
    assert "--resume" in stopped.stderr
    assert [entry.name for entry in store.entries()] == []
    resumed = run(*arguments, "--resume")
    assert resumed.stdout == "seagull_walk\n"
    assert "Learning: 2 steps" in resumed.stderr
    assert "Inverting" not in resumed.stderr
    assert not list((tmp_path / "home" / "checkpoints").rglob("*.safetensors"))
    run(*arguments, "--name", "whole")
    resumed_tensors, whole_tensors = (store.load(name)[1] for name in ("seagull_walk", "whole"))
    assert resumed_tensors == whole_tensors


def test_an_unfinished_run_is_dropped_aloud_and_only_when_another_begins(
    *, run: Run, tiny: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vmc_cli import motions

    def fails(*_: object) -> None:
        raise MemoryError

    arguments = ("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "5")
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        run(*arguments)
    with monkeypatch.context() as patch:
        patch.setattr(motions, "reconstruction", fails)
        failed = run(*arguments)
    assert failed.rc == 9
    told = (
        "The unfinished run of seagull_walk (step 3) is dropped. To go on with it, stop now and add --resume."
    )
    assert told in failed.stderr
    assert "Learning: 2 steps" in run(*arguments, "--resume", "--name", "seagull_walk").stderr
    again = run(*arguments, "--name", "again")
    assert ("Learning: 5 steps" in again.stderr, "is dropped" in again.stderr) == (True, False)


def test_resuming_nothing_begins_at_the_first_step(run: Run, tiny: str, clip: Path) -> None:
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "1", "--resume")
    assert ran.rc == 0
    assert "first step" in ran.stderr


def test_a_full_disk_while_saving_keeps_what_was_learned(
    run: Run, tiny: str, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry import files
    from registry.errors import DiskError

    publish = files.publish

    def full(path: Path, *arguments: object, **options: object) -> None:
        if path.parent.name == "motions":
            raise DiskError("The disk is full.", "Make some space.")
        publish(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(files, "publish", full)
        ran = run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "2", "--json")
    error = json.loads(ran.stderr)
    assert (ran.rc, error["code"], error["kind"]) == (8, 8, "disk")
    assert "--resume" in error["hint"]
    assert run("learn", clip, *SEAGULL, "--backbone", tiny, "--steps", "2", "--resume").rc == 0


def test_a_full_device_is_no_bug(run: Run, tiny: str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from vmc_cli import motions

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(motions, "reconstruction", full)
    ran = run("learn", clip, *SEAGULL, "--backbone", tiny)
    assert ran.rc == 9
    assert "backbone" in ran.stderr
