"""vmc list hides nothing: names for scripts, a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from registry.store import Store
from tests import specimens
from tests.conftest import Ran
from tests.registry.test_broken_files import rewritten
from tests.vmc_cli.commands.conftest import Run, parsed


@pytest.fixture
def three(store: Store) -> Store:
    """Motions in an order that is neither that of their names, times, nor sizes."""
    for name, created, size in (("b", "2024-01-03", 10), ("c", "2024-01-01", 900), ("a", "2024-01-02", 300)):
        with store.writing(name) as slot:
            card = specimens.card(created=f"{created}T00:00:00Z", backbone=f"model-{size}")
            slot.publish(card, specimens.tensors(size=size))
    return store


def test_names_only_when_piped(run: Run, three: Store) -> None:
    assert run("list") == Ran(0, "a\nb\nc\n", "")


def test_nothing_learned_is_no_error(run: Run, store: Store) -> None:
    assert run("list") == Ran(0, "", "")
    assert parsed(run("list", "--json")) == []
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("key", "order"), [("name", "abc"), ("newest", "bac"), ("size", "cab"), ("backbone", "bac")]
)
def test_it_sorts(key: str, order: str, run: Run, three: Store) -> None:
    assert run("list", "--sort", key).stdout.split() == list(order)


def test_an_unknown_order_is_refused_with_the_known_ones(run: Run) -> None:
    ran = run("list", "--sort", "colour")
    assert ran.rc == 2
    assert "name, newest, size, backbone" in ran.stderr


def test_json_holds_whole_cards(run: Run, three: Store) -> None:
    found = parsed(run("list", "--json"))
    assert [each["name"] for each in found] == ["a", "b", "c"]
    assert found[0]["prompt_used"] == "a seagull is walking"
    assert found[0]["recipe"]["rank"] == 16
    assert found[0]["sources"] == [{"name": "seagull.mp4", "sha256": "c1" * 32}]
    assert found[0]["problem"] == ""
    assert found[0]["bytes"] == three.path("a").stat().st_size


def test_broken_and_foreign_files_are_listed_as_such_and_hide_nothing(run: Run, three: Store) -> None:
    three.path("broken").write_bytes(three.path("a").read_bytes()[:100])
    (three.root / "notes.txt").write_text("hello")
    ran = run("list")
    assert (ran.rc, ran.stdout) == (0, "a\nb\nc\n")
    assert [line.split()[1] for line in ran.stderr.splitlines()] == ["broken:", "notes.txt:"]
    found = {each["name"]: each["problem"] for each in parsed(run("list", "--json"))}
    assert found.keys() == {"a", "b", "c", "broken", "notes.txt"}
    assert all(bool(problem) is (name not in "abc") for name, problem in found.items())


def test_a_motion_of_a_newer_vmc_is_not_called_damaged(
    run: Run, on_terminal: Callable[..., Ran], store: Store
) -> None:
    specimens.save(store, "newer")
    rewritten(store, "newer", **{"vmc.schema": "2"})
    shown = on_terminal("list", width=200).stdout
    assert ("it needs a newer vmc" in shown, "damaged" in shown) == (True, False)
    assert run("list").stderr.endswith("newer: it needs a newer vmc (schema 2). pip install -U vmc\n")
    [found] = parsed(run("list", "--json"))
    assert (found["code"], found["hint"]) == (7, "pip install -U vmc")


@pytest.mark.parametrize("width", [1, 30, 100])
def test_a_terminal_gets_a_table_that_fits(width: int, on_terminal: Callable[..., Ran], three: Store) -> None:
    three.path("broken").write_bytes(b"not a motion")
    ran = on_terminal("list", width=width, env={"NO_COLOR": "1"})
    lines = ran.stdout.splitlines()
    assert ran.rc == 0
    assert [line.split()[0] for line in lines] == ["NAME", "a", "b", "broken", "c"]
    assert all(len(line) <= max(width, len("broken")) for line in lines)
    assert ("damaged" in ran.stdout) is (width > 20)


def test_colour_is_for_terminals_that_want_it(on_terminal: Callable[..., Ran], three: Store) -> None:
    assert on_terminal("list").stdout.startswith("\x1b[1mNAME")
    assert "\x1b" not in on_terminal("list", env={"NO_COLOR": "1"}).stdout


def test_a_thousand_motions_load_no_libraries(vmc: Callable[..., Ran], store: Store) -> None:
    specimens.save(store, "m_0000")
    data = store.path("m_0000").read_bytes()
    for number in range(1, 1000):
        (store.root / f"m_{number:04}.safetensors").write_bytes(data)
    ran = vmc("list", "--json", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert len(json.loads(ran.stdout)) == 1000
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "registry.store" in loaded
    assert not loaded & {
        "torch",
        "numpy",
        "diffusers",
        "transformers",
        "peft",
        "safetensors",
        "av",
        "PIL",
        "rich",
    }
