"""Power loss: every legal state of the disk at every step, reopened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import registry.store
from registry.store import Store
from tests.faults.effects import Effects
from tests.faults.mutants import mutant
from tests.faults.power import Disk
from tests.faults.scenes import SCENES, Scene, wrong


def lay_out(state: dict[str, bytes | None], old: Path, new: Path) -> None:
    """Make the state, told of paths below `old`, below `new`."""
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for path, content in sorted(state.items()):
        place = new / Path(path).relative_to(old)
        if content is None:
            place.mkdir()
        else:
            place.write_bytes(content)


def violations(scene: Scene, ram: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """How many states of the disk there were, and what was wrong in them, with the writer's `fault`."""
    root, again = ram / "root", ram / "again"
    root.mkdir()
    scene.before(Store(root / "motions"))
    disk = Disk.of(root)
    stills = []

    def follow(step: int, name: str, call: object, args: tuple[object, ...]) -> object:
        stills.extend((state, False) for state in disk.states())
        return disk.follow(step, name, call, args)  # type: ignore[arg-type]

    writer = mutant(fault, Effects(follow))
    with monkeypatch.context() as patch:
        patch.setattr(registry.store, "files", writer)
        scene.act(Store(root / "motions"))
    stills.extend((state, True) for state in disk.states())
    assert disk.seen_names.keys() == {str(path) for path in root.rglob("*")}, "the model has missed something"
    found, told = [], set()
    for state, returned in stills:
        key = (frozenset(state.items()), returned)
        if key not in told:
            told.add(key)
            lay_out(state, root, again)
            if problem := wrong(again, scene, returned):
                found.append(problem)

    return len(told), found


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
def test_nothing_is_lost_or_torn_when_the_power_goes(
    scene: Scene, ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, found = violations(scene, ram, "", monkeypatch)
    assert not found
    assert states >= 5


@pytest.mark.parametrize("fault", ["no fsync", "no folder fsync", "late fsync", "in place"])
@pytest.mark.parametrize("name", ["save", "replace"])
def test_a_faulty_writer_is_caught(fault: str, name: str, ram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = violations(SCENES[name], ram, fault, monkeypatch)
    assert found
