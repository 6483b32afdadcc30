"""An error, or a signal, at every single step that changes the disk."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registry.store
from registry.errors import DiskError
from registry.store import Store
from tests.faults.effects import Effects
from tests.faults.mutants import mutant
from tests.faults.scenes import SCENES, Scene, wrong

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EINTR, errno.EPERM)


def play(
    scene: Scene, place: Path, fault: str, step: int, strike: Callable[[], object], *, after: bool = False
) -> tuple[str, bool]:
    """Strike before or after an effect: which one it was, "" past the last; whether the scene returned."""
    struck: list[str] = []

    def around(now: int, name: str, call: Callable[[], Any], _: object) -> Any:
        if now != step:
            return call()
        struck.append(name)
        if after or name == "close":  # Linux closes a file whatever it returns
            result = call()
            strike()
            return result
        strike()
        return call()

    place.mkdir()
    scene.before(Store(place / "motions"))
    writer = mutant(fault, Effects(around))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry.store, "files", writer)
        error: BaseException | None = None
        try:
            scene.act(Store(place / "motions"))
        except (DiskError, KeyboardInterrupt) as raised:
            error = raised
    if isinstance(error, DiskError):
        assert str(place) in error.message
        assert error.hint
    return (struck or [""])[0], error is None


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def left_behind(place: Path) -> list[str]:
    return [path.name for path in place.glob("motions/*") if path.name.startswith(".tmp-")]


def errors(scene: Scene, ram: Path, fault: str) -> list[str]:
    """What was wrong after any of the ERRORS at any step."""
    found = []
    for number in ERRORS:

        def fail(number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        step, effect = 0, "start"
        while effect:
            step += 1
            place = ram / f"{errno.errorcode[number]}-{step}"
            effect, returned = play(scene, place, fault, step, fail)
            left = left_behind(place)
            if left and effect != "unlink":
                found.append(f"{errno.errorcode[number]} at step {step}, {effect}: left behind {left}")
            if problem := wrong(place, scene, returned):
                found.append(f"{errno.errorcode[number]} at step {step}, {effect}: {problem}")
        assert step > 5
    return found


def interrupts(scene: Scene, ram: Path, fault: str) -> list[str]:
    """What was wrong after a Ctrl-C just before or just after any step."""
    found = []
    for after in (False, True):
        step, effect = 0, "start"
        while effect:
            step += 1
            place = ram / f"{after}-{step}"
            effect, returned = play(scene, place, fault, step, interrupt, after=after)
            if returned == bool(effect):
                found.append(f"step {step}, {effect}: the signal got lost")
            if left := left_behind(place):
                found.append(f"step {step}, {effect}: left behind {left}")
            if problem := wrong(place, scene, returned):
                found.append(f"step {step}, {effect}: {problem}")
        assert step > 5
    return found


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_an_error_at_any_step_is_told_and_harms_nothing(scene: Scene, ram: Path) -> None:
    assert errors(scene, ram, "") == []


@pytest.mark.parametrize("fault", ["in place", "no cleaning up"])
def test_an_error_at_a_step_catches_a_faulty_writer(fault: str, ram: Path) -> None:
    assert errors(SCENES["replace"], ram, fault)


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_an_interrupt_at_any_step_is_obeyed_and_harms_nothing(scene: Scene, ram: Path) -> None:
    assert interrupts(scene, ram, "") == []


@pytest.mark.parametrize("fault", ["in place", "interruptible", "no cleaning up"])
def test_an_interrupt_at_a_step_catches_a_faulty_writer(fault: str, ram: Path) -> None:
    assert interrupts(SCENES["save"], ram, fault)
