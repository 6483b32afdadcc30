"""vmc rename and vmc remove move one file, and nothing that they were not asked to."""

from __future__ import annotations

import pytest

from registry.store import Store
from tests import specimens
from tests.conftest import Ran
from tests.vmc_cli.commands.conftest import Run


@pytest.fixture
def two(store: Store) -> Store:
    specimens.save(store, "one", 1)
    specimens.save(store, "two", 2)
    return store


def names(store: Store) -> list[str]:
    return [entry.name for entry in store.entries()]


def test_a_motion_gets_its_new_name(run: Run, two: Store) -> None:
    assert run("rename", "one", "first") == Ran(0, "first\n", "")
    assert names(two) == ["first", "two"]
    assert specimens.saved(two, "first") == 1


@pytest.mark.parametrize(
    ("old", "new", "rc"), [("one", "two", 6), ("none", "three", 5), ("one", "A/B", 2), ("../one", "three", 2)]
)
def test_a_rename_that_cannot_be_changes_nothing(old: str, new: str, rc: int, run: Run, two: Store) -> None:
    ran = run("rename", old, new)
    assert ran.rc == rc
    assert ran.stderr.count("\n") == 1
    assert names(two) == ["one", "two"]
    assert specimens.saved(two, "two") == 2


def test_removed_motions_lie_in_the_trash(run: Run, two: Store) -> None:
    ran = run("remove", "one", "two")
    assert (ran.rc, ran.stdout) == (0, "")
    assert names(two) == []
    assert len(list((two.root / ".trash").iterdir())) == 2
    assert str(two.root / ".trash") in ran.stderr


def test_a_broken_motion_can_be_removed(run: Run, two: Store) -> None:
    two.path("one").write_bytes(b"")
    assert run("remove", "one").rc == 0
    assert names(two) == ["two"]


@pytest.mark.parametrize(("name", "rc"), [("none", 5), ("../two", 2)])
def test_one_wrong_name_and_none_is_removed(name: str, rc: int, run: Run, two: Store) -> None:
    assert run("remove", "one", name, "two").rc == rc
    assert names(two) == ["one", "two"]
