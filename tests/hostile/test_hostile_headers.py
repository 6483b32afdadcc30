"""Files from strangers: cut, twisted and forged. The safetensors library is the second opinion."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors

from registry import header
from registry.errors import Damaged
from registry.header import RawTensor
from registry.store import Store
from tests.counting import counted
from tests.specimens import CARD, save, tensors

ROOT = Path(__file__).parents[2]
TOKENS = [
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b" ", b"\n", b"\0", b"\x1b", b"\xff", b"\xed\xa0\x80"),
    *(
        b"0",
        b"-0",
        b"1e0",
        b"0.0",
        b"01",
        b"-1",
        b"4294967296",
        b"18446744073709551616",
        b"9" * 5000,
        b"1e999",
    ),
    *(b"NaN", b"Infinity", b"-Infinity", b"true", b"null", b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"'),
    *(b'"__metadata__":{},', b'"__metadata__":null,', b'"x":{"dtype":"U8","shape":[],"data_offsets":[0,1]},'),
    *(b'"dtype":"F32",', b'"F64"', b'"F4"', b'"BOOL"', b'"shape":[1],', b'"data_offsets":[0,4]', b"[" * 2000),
    *(
        b'{"a":' * 2000,
        b"/*x*/",
        b"//x",
        b"'",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\\u",
        b"\\x41",
        b"+1",
        b".5",
    ),
]


def whole(text: bytes, data: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text + data


def seeds() -> list[tuple[bytes, bytes]]:
    """The header's text and the data of files that are as they should be."""
    layers = {f"unet.{i}.lora_A.weight": RawTensor("BF16", (2, 3), bytes(12)) for i in range(3)}
    scalar = {"s": RawTensor("F32", (), b"1234"), "t": RawTensor("U8", (1, 1, 1), b"1")}
    found = []
    for group in (tensors(), layers, scalar, {}):
        order = dict(sorted(group.items(), key=lambda item: -header.ITEM_SIZE[item[1].dtype]))
        for metadata in ({}, CARD.to_metadata()):
            found.append((header.compose(order, metadata)[8:], b"".join(t.data for t in order.values())))
    return found


def twisted(chance: random.Random, text: bytes, data: bytes) -> bytes:
    """A file made of a good one by a few random accidents, its length sometimes still right."""
    changed = bytearray(text)
    for _ in range(chance.randint(1, 4)):
        at, until = sorted(chance.choices(range(len(changed) + 1), k=2))
        kind = chance.randrange(7)
        if kind == 0 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at:at] = chance.choice(TOKENS)
        elif kind == 2:
            del changed[at : min(until, at + chance.choice((1, 3, 400)))]
        elif kind == 3:
            changed[at : at + chance.randint(1, 8)] = chance.choice(TOKENS)
        elif kind == 4:
            changed[at:at] = changed[at : min(until, at + 200)]
        elif kind == 5:
            digits = [place for place, byte in enumerate(changed) if chr(byte).isdigit()]
            if digits:
                changed[chance.choice(digits)] = ord(chance.choice("0123456789"))
        else:
            data = data[: chance.randint(0, len(data))] if chance.random() < 0.5 else data + b"x"
    if chance.random() < 0.8:
        return whole(bytes(changed), data)
    length = chance.choice((0, 1, len(changed) - 1, len(changed) + 1, 2**31, 2**63, 2**64 - 1))
    return length.to_bytes(8, "little") + bytes(changed) + data


def verdict(content: bytes) -> header.Header | None:
    """Our reading of the file; None when it is refused as damaged. Any other error passes through."""
    file = os.memfd_create("case")
    try:
        os.write(file, content)
        os.lseek(file, 0, os.SEEK_SET)
        try:
            found = header.read_header(file)
        except Damaged as refusal:
            found = None
            if len(refusal.message) > 300:
                raise AssertionError("a stranger's text fills the screen") from refusal
        os.lseek(file, 0, os.SEEK_SET)
        try:
            metadata, _ = header.read_metadata(file)
        except Damaged:
            assert found is None, "the list refuses what can be used"
        else:
            assert found is None or found.metadata == metadata
        return found
    finally:
        os.close(file)


def compared(cases: Iterator[bytes]) -> tuple[int, int]:
    """How many cases were accepted and refused; what is accepted the library must read in the same way."""
    accepted = refused = 0
    for content in cases:
        with counted() as calls:
            found = verdict(content)
        assert calls[0] < 500 + len(content), content[:500]
        if found is None:
            refused += 1
            continue
        accepted += 1
        theirs = {
            name: (spec["dtype"], tuple(spec["shape"]), bytes(spec["data"])) for name, spec in read(content)
        }
        data = content[found.data_offset :]
        ours = {name: (s.dtype, s.shape, data[s.begin : s.end]) for name, s in found.tensors.items()}
        assert ours == theirs, content[:500]
    return accepted, refused


def read(content: bytes) -> list[tuple[str, dict[str, object]]]:
    try:
        return safetensors.deserialize(content)  # type: ignore[no-any-return]
    except safetensors.SafetensorError as error:
        raise AssertionError(f"accepted, and the library says {error}: {content[:500]!r}") from error


def cases(seed: int, count: int) -> Iterator[bytes]:
    chance, good = random.Random(seed), seeds()
    for _ in range(count):
        yield twisted(chance, *chance.choice(good))


def test_the_seeds_themselves_are_accepted() -> None:
    assert compared(whole(*seed) for seed in seeds()) == (len(seeds()), 0)


def test_what_we_accept_of_ten_thousand_twisted_files_the_library_accepts() -> None:
    accepted, refused = compared(cases(1, 10_000))
    assert accepted > 300, "too few to compare"
    assert refused > 3000


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(2, 12))
def test_what_we_accept_of_a_million_twisted_files_the_library_accepts(seed: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    compared(cases(seed, 100_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # KiB


def test_every_token_at_every_place_of_a_small_header() -> None:
    text = b'{"__metadata__":{"k":"v"},"a":{"dtype":"U8","shape":[1,4],"data_offsets":[0,4]}}'

    def put() -> Iterator[bytes]:
        for token in TOKENS[:60]:
            for at in range(len(text) + 1):
                yield whole(text[:at] + token + text[at:], b"1234")
                yield whole(text[:at] + token + text[at + 1 :], b"1234")

    accepted, refused = compared(put())
    assert accepted
    assert refused


def test_twisted_files_in_the_registry_hide_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    save(store, "good")
    for number, content in enumerate(cases(5, 300)):
        store.path(f"x{number}").write_bytes(content)
    entries = store.entries()
    assert len(entries) == 301
    assert "good" in [entry.name for entry in entries if not entry.problem]


def test_a_huge_sparse_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    text = json.dumps({"a": {"dtype": "U8", "shape": [1 << 40], "data_offsets": [0, 1 << 40]}}).encode()
    with open(store.path("sparse"), "wb") as file:
        file.write(whole(text, b""))
        file.truncate(8 + len(text) + (1 << 40))
    read = 0

    def counting(file: int, size: int, whole: Callable[[int, int], bytes] = os.read) -> bytes:
        nonlocal read
        found = whole(file, size)
        read += len(found)
        return found

    monkeypatch.setattr(os, "read", counting)
    with pytest.raises(Damaged):
        store.load("sparse")
    assert store.entries()[0].problem
    assert not read


def test_looking_at_hostile_files_writes_nothing_and_runs_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    save(store, "good")
    store.path("pickle").write_bytes(b"cos\nsystem\n(S'touch harmed'\ntR.")
    for number, content in enumerate(cases(6, 50)):
        store.path(f"x{number}").write_bytes(content)
    code = """
import hashlib, difflib, os, sys
from pathlib import Path
from registry.errors import RegistryError
from registry.store import Store
events = []
def hook(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    prefixes = ("pickle.", "exec", "compile", "subprocess.", "socket.", "os.system", "os.exec", "os.fork",
                "os.rename", "os.remove", "os.link", "os.mkdir", "os.truncate", "os.chmod", "mmap.")
    if writes or event.startswith(prefixes):
        events.append((event, args))
store = Store(Path(sys.argv[1]))
sys.addaudithook(hook)
for entry in store.entries():
    for use in (store.card, store.load):
        try:
            use(entry.name)
        except RegistryError:
            pass
print(len(store.entries()), events)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "52 []\n"
