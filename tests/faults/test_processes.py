"""Processes that die, are interrupted, meet each other, and meet disks that are full or closed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def clean(function: str, folder: Path, *arguments: object) -> Any:
    """What tests.faults.clean.<function> returns, in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.clean", function, str(folder), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_death_at_any_step_loses_and_tears_nothing(ram: Path) -> None:
    assert clean("exits", ram, "") == []


def test_death_at_a_step_catches_a_writer_in_place(ram: Path) -> None:
    assert clean("exits", ram, "in place")


def test_two_hundred_kills_lose_and_tear_nothing(ram: Path) -> None:
    assert clean("kills", ram / "motions", "", 200) == []


def test_kills_catch_a_writer_in_place(ram: Path) -> None:
    assert clean("kills", ram / "motions", "in place", 200)


def test_an_interrupt_at_any_moment_leaves_nothing_behind(ram: Path) -> None:
    assert clean("interrupts", ram / "motions", "", 100) == []


def test_interrupts_catch_a_writer_that_does_not_clean_up(ram: Path) -> None:
    assert clean("interrupts", ram / "motions", "no cleaning up", 100)


def test_eight_processes_save_and_list_and_sweep_at_once(ram: Path) -> None:
    assert clean("crowd", ram / "motions", "", 12) == []


@pytest.mark.parametrize("fault", ["in place", "careless sweep"])
def test_a_crowd_catches_a_faulty_writer(ram: Path, fault: str) -> None:
    assert clean("crowd", ram / "motions", fault, 12)


def test_a_race_for_one_name_has_one_winner_even_without_locks(ram: Path) -> None:
    assert clean("race", ram, "", 10) == [1] * 10


def test_a_race_catches_a_writer_that_checks_and_then_renames(ram: Path) -> None:
    assert clean("race", ram, "check, then rename", 10) != [1] * 10


def test_a_disk_that_is_full_at_any_byte_loses_nothing(ram: Path) -> None:
    assert clean("full", ram / "motions") == []


def test_a_closed_folder_can_be_read_and_refuses_the_work_before_it_begins(ram: Path) -> None:
    assert clean("closed", ram / "motions") == []


@pytest.mark.stress
@pytest.mark.parametrize("fault", ["", "in place"])
def test_a_thousand_kills_on_a_real_disk(tmp_path: Path, fault: str) -> None:
    assert bool(clean("kills", tmp_path / "motions", fault, 1000)) == bool(fault)


@pytest.mark.stress
def test_a_thousand_interrupts_on_a_real_disk(tmp_path: Path) -> None:
    assert clean("interrupts", tmp_path / "motions", "", 1000) == []


@pytest.mark.stress
def test_eight_processes_and_four_hundred_motions(tmp_path: Path) -> None:
    assert clean("crowd", tmp_path / "motions", "", 50) == []
    assert clean("race", tmp_path / "race", "", 100) == [1] * 100
