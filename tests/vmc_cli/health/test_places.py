"""What lies on the disk is told as it is, whatever state it is in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from registry import files
from registry.store import Store
from tests import specimens
from tests.registry.test_broken_files import rewritten
from vmc_cli import backbones, health
from vmc_cli.backbones import cache
from vmc_cli.evaluation import judges
from vmc_cli.health import Finding, machine, places


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VMC_BACKBONE", raising=False)
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Store:
    return Store(home / "motions")


def test_a_new_user_is_well(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "probed", lambda: [Finding("device", facts={"memory_free": 5 << 30})])
    findings = list(health.examined())
    assert [finding for finding in findings if finding.problem] == []
    found = {finding.name: finding for finding in findings}
    assert found["motions"].facts == {"count": 0, "bytes": 0}
    assert "not made yet" in found["folder of motions"].value
    assert found["unfinished runs"].value == found["leftovers"].value == "none"
    assert found["backbone sprites"].facts["fits"] == {"learn": True, "generate": True}
    assert found["backbone zeroscope"].facts["fits"]["learn"] is False
    assert not home.exists()


def test_motions_are_counted_and_what_is_none_is_told(store: Store) -> None:
    whole = specimens.save(store, "seagull_walk")
    (store.root / "cut.safetensors").write_bytes(whole.read_bytes()[:-9])
    (store.root / "notes.txt").write_text("mine")
    first, *others = places.motions()
    assert first.facts == {"count": 1, "bytes": whole.stat().st_size}
    assert [(finding.name, finding.code) for finding in others] == [
        ("motion cut", 4),
        ("motion notes.txt", 4),
    ]
    assert all(finding.problem and finding.hint for finding in others)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_motions_that_anybody_may_change_are_a_fault_with_what_to_do(store: Store) -> None:
    specimens.save(store, "seagull_walk")
    store.root.chmod(0o777)
    [found] = places.motions()
    assert (found.code, found.hint) == (8, f"Close their folder: chmod o-w {store.root}")
    store.root.chmod(0o775)
    [found] = places.motions()
    assert found.problem == ""


def test_a_motion_of_a_newer_vmc_is_not_called_damaged(store: Store) -> None:
    specimens.save(store, "newer")
    rewritten(store, "newer", **{"vmc.schema": "2"})
    _, found = places.motions()
    assert (found.name, found.code, found.hint) == ("motion newer", 7, "pip install -U vmc")


def test_leftovers_and_unfinished_runs_are_told_and_no_fault(store: Store, home: Path) -> None:
    left = files.temp_name(specimens.save(store, "seagull_walk"))
    dead = left.with_name(left.name.replace(f"-{os.getpid()}-", "-999999999-"))
    for path in (left, dead):
        path.write_bytes(b"12345")
    store.remove("seagull_walk")
    (home / "checkpoints" / "dog_run").mkdir(parents=True)
    (home / "checkpoints" / "dog_run" / "0000050.safetensors").write_bytes(b"123")
    (home / "crashes").mkdir()
    (home / "crashes" / "one.txt").touch()
    [leftovers], [runs, crashes] = places.leftovers(), places.runs()
    assert (leftovers.facts["temporary"], leftovers.facts["temporary_bytes"]) == (1, 5)
    assert leftovers.facts["trash"] == 1
    assert (runs.facts["runs"], runs.facts["bytes"]) == (["dog_run"], 3)
    assert crashes.facts["count"] == 1
    assert not any(finding.problem for finding in (leftovers, runs, crashes))


def test_fetched_judges_are_told_by_the_names_that_remove_them(home: Path) -> None:
    [nobody] = places.judged_by()
    assert (nobody.value, nobody.facts) == ("none fetched", {"bytes": {}})
    weights = cache.folder(judges.origin("some-one/clip-tiny")) / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"12345")
    cache.record_path(judges.origin("some-one/clip-tiny")).write_text("{}")
    [found] = places.judged_by()
    assert found.facts == {"bytes": {"some-one/clip-tiny": 5}}
    assert found.value == "some-one/clip-tiny (0.0 MB)"


@pytest.mark.parametrize("kind", ["file", "locked", "full"])
def test_a_folder_that_cannot_be_used_is_a_fault_of_the_disk(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "home"
    if kind == "file":
        path.touch()
    elif kind == "locked":
        monkeypatch.setattr(os, "access", lambda *_: False)
    else:
        monkeypatch.setattr(places.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    [finding] = places.folder("motions", lambda: path / "motions")
    assert finding.problem
    assert finding.code == 8
    assert "VMC_HOME" in finding.hint


def test_without_a_home_each_folder_says_so_and_the_rest_stands(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry import home as places_of_state
    from registry.errors import DiskError

    def homeless(*_: object) -> Path:
        raise DiskError("This user has no home folder.", "Set VMC_HOME.")

    monkeypatch.setattr(places_of_state, "_folder", homeless)
    monkeypatch.setattr(machine, "probed", list)
    monkeypatch.setenv("VMC_BACKBONE", "nothing")
    found = {finding.name: finding for finding in health.examined()}
    assert found["folder of motions"].problem == "This user has no home folder."
    assert {found[name].code for name in ("folder of cache", "motions", "leftovers")} == {8}
    assert found["default backbone"].code == 2
    assert found["backbone sprites"].problem == ""


def test_a_model_whose_files_are_gone_is_told(home: Path, tmp_path: Path) -> None:
    spec = replace(backbones.BACKBONES["sprites"], sources=(tmp_path / "gone",))
    [finding] = health._standing("backbone sprites", lambda: places.backbone(spec, None))
    assert (finding.name, finding.code) == ("backbone sprites", 5)
    assert "not here" in finding.problem
