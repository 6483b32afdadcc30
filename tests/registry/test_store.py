from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.numpy

from registry import files, names, owners
from registry.card import Card
from registry.errors import BadName, Busy, Damaged, DiskError, Exists, NotFound
from registry.header import RawTensor
from registry.store import Entry, Store
from tests.specimens import CARD, card, save, saved, tensors


def listed(store: Store) -> dict[str, str]:
    return {entry.name: entry.problem for entry in store.entries()}


# save and load


def test_a_motion_comes_back_as_it_was_saved(store: Store) -> None:
    with store.writing("seagull_walk") as slot:
        assert slot.name == "seagull_walk"
        path = slot.publish(CARD, tensors())
    assert path == store.path("seagull_walk")
    assert store.card("seagull_walk") == CARD
    assert store.load("seagull_walk") == (CARD, tensors())
    [entry] = store.entries()
    assert entry == Entry("seagull_walk", CARD, "", path.stat().st_size)
    assert os.listdir(store.root) == [path.name]


def test_the_safetensors_library_reads_a_motion(store: Store) -> None:
    path = save(store, "a", fill=3)
    arrays = safetensors.numpy.load_file(path)
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: tensor.data for name, tensor in tensors(3).items()
    }


def test_tensors_are_aligned(store: Store) -> None:
    content = save(store, "a").read_bytes()
    length = int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8 : 8 + length]).items():
        if name != "__metadata__":
            size = {"F32": 4, "F16": 2, "U8": 1}[entry["dtype"]]
            assert (8 + length + entry["data_offsets"][0]) % size == 0


def test_the_files_name_is_the_motions_name(store: Store) -> None:
    content = save(store, "first").read_bytes()
    store.path("copied").write_bytes(content)
    assert store.card("copied").name == store.load("copied")[0].name == "copied"
    assert [(entry.name, entry.card and entry.card.name) for entry in store.entries()] == [
        ("copied", "copied"),
        ("first", "first"),
    ]


def test_a_card_under_another_name_is_saved_under_the_slots(store: Store) -> None:
    with store.writing("other") as slot:
        slot.publish(card(name="../../escape"), tensors())
    assert listed(store) == {"other": ""}
    assert b"escape" not in store.path("other").read_bytes()


def test_nothing_is_created_by_looking(store: Store) -> None:
    assert store.entries() == []
    with pytest.raises(NotFound):
        store.load("a")
    with pytest.raises(NotFound):
        store.remove("a")
    with pytest.raises(NotFound):
        store.rename("a", "b")
    assert not store.root.exists()


def test_what_does_not_fit_a_file_is_not_published(store: Store) -> None:
    with store.writing("a") as slot:
        with pytest.raises(Damaged, match=r"a cannot be saved: its tensor 'x'"):
            slot.publish(CARD, {"x": RawTensor("F64", (1,), bytes(8))})
        with pytest.raises(ValueError):
            slot.publish(card(loss=float("nan")), tensors())
    assert os.listdir(store.root) == []


# names


@pytest.mark.parametrize("name", ["../x", "a/b", "Seagull", "con", "", ".trash", "a.safetensors", "a\0"])
def test_a_bad_name_is_refused_before_anything_is_touched(store: Store, name: str) -> None:
    for use in (store.path, store.card, store.load, store.remove, lambda bad: store.rename("a", bad)):
        with pytest.raises(BadName):
            use(name)
    for claim in (store.writing, store.writing_new):
        with pytest.raises(BadName), claim(name):
            pytest.fail("a slot was given")
    assert not store.root.exists()


def test_a_name_that_is_taken_is_refused_before_the_work(store: Store) -> None:
    save(store, "a")
    with pytest.raises(Exists), store.writing("a"):
        pytest.fail("work began")
    assert saved(store, "a") == 1


def test_a_broken_file_takes_its_name_too(store: Store) -> None:
    store.root.mkdir()
    store.path("a").write_bytes(b"junk")
    store.path("b").symlink_to("nowhere")
    store.path("c").mkdir()
    for name in "abc":
        with pytest.raises(Exists), store.writing(name):
            pytest.fail("work began")
        save(store, name, replace=True)
        assert saved(store, name) == 1


def test_replacing_can_be_undone(store: Store) -> None:
    save(store, "a", 1)
    save(store, "a", 2, replace=True)
    assert saved(store, "a") == 2
    [kept] = (store.root / files.TRASH).iterdir()
    kept.rename(store.path("b"))
    assert saved(store, "b") == 1
    assert listed(store) == {"a": "", "b": ""}


def test_a_motion_stays_when_its_replacement_fails(store: Store) -> None:
    save(store, "a", 1)
    with pytest.raises(ZeroDivisionError), store.writing("a", replace=True):
        raise ZeroDivisionError
    assert saved(store, "a") == 1
    assert os.listdir(store.root) == ["a.safetensors"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_work_that_is_cut_short_leaves_nothing(store: Store, error: type[BaseException]) -> None:
    with pytest.raises(error), store.writing("a"):
        raise error
    with pytest.raises(error), store.writing_new("a"):
        raise error
    assert os.listdir(store.root) == []
    save(store, "a")


def test_what_a_killed_process_left_is_swept_when_the_next_one_writes(store: Store) -> None:
    save(store, "a")
    left = owners.temp_name(store.path("b"))
    left = left.with_name(left.name.replace(f"-{os.getpid()}-", "-4194305-"))  # more than Linux ever gives
    left.write_bytes(b"half")
    save(store, "b")
    assert not left.exists()


def test_a_name_in_work_is_busy(store: Store) -> None:
    with store.writing("a") as slot:
        with pytest.raises(Busy, match=str(os.getpid())), store.writing("a"):
            pytest.fail("two slots for one name")
        slot.publish(CARD, tensors())
        for use in (lambda: store.remove("a"), lambda: store.rename("a", "b")):
            with pytest.raises(Busy):
                use()
    store.rename("a", "b")


def test_a_new_name_is_numbered_when_taken_or_in_work(store: Store) -> None:
    def learn() -> str:
        with store.writing_new("gull") as slot:
            slot.publish(CARD, tensors())
            return slot.name

    assert [learn(), learn()] == ["gull", "gull_2"]
    with store.writing("gull_3"):
        assert learn() == "gull_4"
    assert learn() == "gull_3"
    assert {entry.name for entry in store.entries()} == {"gull", "gull_2", "gull_3", "gull_4"}


def test_a_new_name_that_somebody_takes_meanwhile_is_given_up_for_the_next(store: Store) -> None:
    with store.writing_new("gull") as slot:
        for name in ("gull", "gull_2"):
            store.path(name).write_bytes(b"from a process without the lock")
        path = slot.publish(CARD, tensors())
        assert (slot.name, path) == ("gull_3", store.path("gull_3"))
    assert store.card("gull_3").name == "gull_3"


def test_a_chosen_name_that_somebody_takes_meanwhile_is_not_overwritten(store: Store) -> None:
    with store.writing("gull") as slot:
        store.path("gull").write_bytes(b"theirs")
        with pytest.raises(Exists):
            slot.publish(CARD, tensors())
    assert store.path("gull").read_bytes() == b"theirs"


# rename and remove


def test_renaming(store: Store) -> None:
    save(store, "a", 1)
    save(store, "b", 2)
    for target in ("a", "b"):
        with pytest.raises(Exists):
            store.rename("a", target)
    assert store.rename("a", "c") == store.path("c")
    assert (saved(store, "b"), saved(store, "c")) == (2, 1)
    assert store.card("c").name == "c"
    assert sorted(os.listdir(store.root)) == ["b.safetensors", "c.safetensors"]


def test_removing_can_be_undone(store: Store) -> None:
    save(store, "a")
    grave = store.remove("a")
    assert listed(store) == {}
    grave.rename(store.path("a"))
    assert saved(store, "a") == 1


def test_a_broken_motion_can_be_renamed_and_removed(store: Store) -> None:
    store.root.mkdir()
    store.path("a").write_bytes(b"junk")
    store.rename("a", "b")
    assert store.remove("b").read_bytes() == b"junk"


def test_what_is_not_there_is_told_with_the_nearest_name(store: Store) -> None:
    save(store, "seagull_walk")
    for use in (store.card, store.load, store.remove, lambda name: store.rename(name, "b")):
        with pytest.raises(NotFound) as refusal:
            use("seagul_walk")
        assert "Did you mean seagull_walk?" in refusal.value.hint
    with pytest.raises(NotFound) as refusal:
        store.card("x")
    assert "vmc list" in refusal.value.hint


# room and place


def test_a_registry_that_is_a_file_or_too_deep_is_a_clean_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "/".join(["x" * 200] * 30)):
        with pytest.raises(DiskError), Store(root).writing("a"):
            pytest.fail("a slot was given")
        if root.name != "x" * 200:
            with pytest.raises(DiskError):
                Store(root).entries()


def test_too_little_room_is_told_before_the_work(store: Store) -> None:
    with store.writing("a") as slot:
        with pytest.raises(DiskError, match="needed"):
            slot.require_space(1 << 60)
        slot.require_space(1000)
        slot.publish(CARD, tensors())


def test_twice_the_room_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=2, f_frsize=500))
    with store.writing("a") as slot:
        slot.require_space(500)
        with pytest.raises(DiskError, match="1,000 bytes free, and 1,002 are needed"):
            slot.require_space(501)


def test_the_default_store_is_in_vmc_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VMC_HOME", str(tmp_path))
    assert Store.default().root == tmp_path / "motions"


def test_a_golden_file_of_schema_1_is_read_for_ever() -> None:
    store = Store(Path(__file__).with_name("golden"))
    assert saved(store, "schema_1") == 7
    assert store.card("schema_1") == card(name="schema_1", seed=7, extra={"mood": "calm"})


def test_a_card_is_plain_data() -> None:
    assert dataclasses.is_dataclass(Card)
    json.dumps(dataclasses.asdict(CARD), allow_nan=False)
    assert names.check(CARD.name)
