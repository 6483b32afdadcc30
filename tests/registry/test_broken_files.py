"""A broken or foreign file among the motions is told as such, hides nothing and is never used."""

from __future__ import annotations

import json
import os

import pytest

from registry.errors import Damaged, Incompatible
from registry.store import Store
from tests.registry.test_store import listed
from tests.specimens import save, saved, tensors


def rewritten(store: Store, name: str, **metadata: str) -> None:
    """Change metadata of a saved motion as somebody with an editor would."""
    content = store.path(name).read_bytes()
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    table["__metadata__"] |= metadata
    text = json.dumps(table).encode()
    store.path(name).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def test_broken_and_foreign_files_are_listed_and_hide_nothing(store: Store) -> None:
    save(store, "good")
    content = store.path("good").read_bytes()
    store.path("empty").write_bytes(b"")
    store.path("cut").write_bytes(content[:-1])
    store.path("longer").write_bytes(content + b"x")
    store.path("junk").write_bytes(b"\x80\x04\x95" * 99)
    os.mkfifo(store.path("pipe"))
    store.path("folder").mkdir()
    store.path("link").symlink_to(store.path("good"))
    (store.root / "Seagull.safetensors").write_bytes(content)
    (store.root / "con.safetensors").write_bytes(content)
    (store.root / "\x1b[31m.safetensors").write_bytes(content)
    (store.root / "notes.txt").write_text("hello")
    (store.root / ".hidden").touch()
    store.path("good").with_suffix(".lock").touch()
    stranger = {"x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    text = json.dumps(stranger).encode()
    store.path("stranger").write_bytes(len(text).to_bytes(8, "little") + text + b"1")
    for name, changes in {"newer": {"vmc.schema": "2"}, "other": {"vmc.format": "adapter"}}.items():
        store.path(name).write_bytes(content)
        rewritten(store, name, **changes)
    found = listed(store)
    assert found.pop("good") == ""
    expected = {
        "empty": "empty",
        "cut": "bytes of data are left of",
        "longer": "bytes of data are left of",
        "junk": "not a safetensors file",
        "pipe": "not a file",
        "folder": "not a file",
        "link": "a link",
        "Seagull": "another name",
        "con": "another name",
        "\x1b[31m": "another name",
        "notes.txt": "not a .safetensors file",
        "stranger": "not a motion",
        "newer": "needs a newer vmc",
        "other": "not a motion",
    }
    assert found.keys() == expected.keys()
    for name, problem in expected.items():
        assert problem in found[name], name
    assert [entry.name for entry in store.entries()] == sorted(entry.name for entry in store.entries())
    assert all((entry.card is None) == bool(entry.problem) for entry in store.entries())
    entries = {entry.name: entry for entry in store.entries()}
    assert [entries[name].code for name in ("good", "cut", "notes.txt", "newer", "con")] == [0, 4, 4, 7, 2]
    assert entries["newer"].hint == "pip install -U vmc"
    for name, near in (("Seagull", "seagull"), ("con", "con_motion"), ("\x1b[31m", "31m")):
        assert entries[name].hint.startswith(f"Try {near}.")
    save(store, "seagull")
    assert saved(store, "seagull") == 1


def test_using_a_broken_file_says_which_and_why(store: Store) -> None:
    path = save(store, "a")
    path.write_bytes(path.read_bytes()[:-1])
    for use in (store.card, store.load):
        with pytest.raises(Damaged, match=str(path)):
            use("a")
    save(store, "b")
    rewritten(store, "b", **{"vmc.schema": "9"})
    with pytest.raises(Incompatible) as refusal:
        store.load("b")
    assert refusal.value.hint
    assert str(store.path("b")) in refusal.value.message


def test_every_cut_is_noticed_by_the_list_and_on_use(store: Store) -> None:
    content = save(store, "whole").read_bytes()
    for cut in range(0, len(content), max(1, len(content) // 64)):
        store.path("cut").write_bytes(content[:cut])
        assert listed(store)["cut"], cut
        assert listed(store)["whole"] == ""
        with pytest.raises(Damaged):
            store.load("cut")


def test_every_changed_bit_of_the_data_is_noticed(store: Store) -> None:
    content = save(store, "a").read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    for at in range(begin, len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        store.path("a").write_bytes(changed)
        with pytest.raises(Damaged, match="changed since it was saved"):
            store.load("a")
    store.path("a").write_bytes(content[:begin] + bytes(len(content) - begin))
    with pytest.raises(Damaged, match="changed since it was saved"):
        store.load("a")


def test_a_changed_bit_of_the_header_is_refused_or_changes_the_card_only(store: Store) -> None:
    content = save(store, "a").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for at in range(end):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 7
        store.path("a").write_bytes(changed)
        try:
            _, found = store.load("a")
        except (Damaged, Incompatible):
            refused += 1
        else:
            assert sorted(t.data for t in found.values()) == sorted(t.data for t in tensors().values())
        assert at % 16 or len(store.entries()) == 1
    assert refused > end // 4


def test_a_motion_without_a_checksum_is_damaged(store: Store) -> None:
    save(store, "a")
    rewritten(store, "a", **{"vmc.sha256": ""})
    with pytest.raises(Damaged):
        store.load("a")


def test_a_motion_is_read_once_into_memory(store: Store) -> None:
    path = save(store, "a", size=1 << 20)
    _, found = store.load("a")
    with open(path, "r+b") as file:
        file.truncate(0)
    path.unlink()
    assert found == tensors(size=1 << 20)


def test_a_file_that_goes_while_listing_is_not_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    save(store, "a")
    monkeypatch.setattr(os, "listdir", lambda _: ["a.safetensors", "gone.safetensors"])
    assert listed(store) == {"a": ""}
