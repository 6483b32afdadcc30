from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from registry import header
from registry.errors import Damaged, DiskError, NotFound
from registry.header import RawTensor, Span
from tests.specimens import tensors


def file_of(table: object, data: bytes = b"") -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str = "U8", shape: object = (4,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def read(path: Path) -> header.Header:
    with header.opened(path) as file:
        return header.read_header(file)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


def test_a_header_is_read_whole(path: Path) -> None:
    table = {"b": entry("F16", [2, 1], [4, 8]), "__metadata__": {"key": "värde"}, "a": entry()}
    path.write_bytes(file_of(table, b"abcdefgh"))
    found = read(path)
    assert found.metadata == {"key": "värde"}
    assert list(found.tensors.items()) == [("a", Span("U8", (4,), 0, 4)), ("b", Span("F16", (2, 1), 4, 8))]
    with header.opened(path) as file:
        header.read_header(file)
        assert header.read_bytes(file, 8) == b"abcdefgh", "the file is left at its data"
        with pytest.raises(Damaged, match="cut short"):
            header.read_bytes(file, 1)


def test_what_the_library_wrote_is_read(path: Path) -> None:
    import numpy as np

    arrays = {"x": np.ones((2, 3), np.float32), "y": np.zeros(7, np.uint8), "scalar": np.float16(2)}
    safetensors.numpy.save_file({k: np.asarray(v) for k, v in arrays.items()}, path, {"a": "b"})
    found = read(path)
    assert found.metadata == {"a": "b"}
    shapes = {name: span.shape for name, span in found.tensors.items()}
    assert shapes == {"x": (2, 3), "y": (7,), "scalar": ()}


def test_what_is_written_here_the_library_reads() -> None:
    given_ = dict(sorted(tensors().items(), key=lambda item: item[0] == "preview"))
    head = header.compose(given_, {"note": "e\u0301\x1b", "": "empty key"})
    assert len(head) % 8 == 0, "the data is aligned"
    whole = head + b"".join(tensor.data for tensor in given_.values())
    read_back = {name: (spec["dtype"], spec["shape"], spec["data"]) for name, spec in deserialized(whole)}
    assert read_back == {name: (t.dtype, list(t.shape), t.data) for name, t in given_.items()}
    assert header.parse(head, len(whole)).metadata == {"note": "e\u0301\x1b", "": "empty key"}


def deserialized(whole: bytes) -> list[tuple[str, dict[str, object]]]:
    return safetensors.deserialize(whole)  # type: ignore[no-any-return]


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=12).filter("__metadata__".__ne__),
        st.tuples(st.sampled_from(sorted(header.ITEM_SIZE)), st.lists(st.integers(1, 4), max_size=4)),
        max_size=5,
    ),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=4),
)
def test_a_header_survives_writing_and_reading(
    shapes: dict[str, tuple[str, list[int]]], metadata: dict[str, str]
) -> None:
    raw = {}
    for name, (dtype, shape) in shapes.items():
        size = header.ITEM_SIZE[dtype]
        for length in shape:
            size *= length
        raw[name] = RawTensor(dtype, tuple(shape), bytes(size))
    head = header.compose(raw, metadata)
    data = b"".join(tensor.data for tensor in raw.values())
    found = header.parse(head, len(head) + len(data))
    assert found.metadata == metadata
    assert [(name, span.dtype, span.shape) for name, span in found.tensors.items()] == [
        (name, tensor.dtype, tensor.shape) for name, tensor in raw.items()
    ]
    assert {name for name, _ in deserialized(head + data)} == set(raw)


@pytest.mark.parametrize(
    "bad",
    [
        {"x": RawTensor("F32", (2,), b"1234")},
        {"x": RawTensor("F64", (1,), b"12345678")},
        {"x": RawTensor("U8", (0,), b"")},
        {"x": RawTensor("U8", (1,) * 9, b"1")},
        {"\ud800": RawTensor("U8", (1,), b"1")},
        {"__metadata__": RawTensor("U8", (1,), b"1")},
        {"x": RawTensor("U8", (1.0,), b"1")},
        {"x" * header.LARGEST_HEADER: RawTensor("U8", (1,), b"1")},
    ],
)
def test_what_would_be_refused_when_read_is_not_written(bad: dict[str, RawTensor]) -> None:
    with pytest.raises(Damaged):
        header.compose(bad, {})


REFUSED = {
    "empty": b"",
    "seven bytes": b"1234567",
    "length of none": bytes(8),
    "length past the end": (100).to_bytes(8, "little") + b"{}",
    "length of 2^63": (2**63).to_bytes(8, "little") + b"{}",
    "length of 2^64-1": b"\xff" * 8 + b"{}",
    "a list": file_of([]),
    "a number": file_of(b"17"),
    "a string": file_of(b'"{}"'),
    "not UTF-8": file_of(b'{"__metadata__":{"a":"\xff"}}'),
    "UTF-8 of half a character": file_of(b'{"__metadata__":{"a":"\xed\xa0\x80"}}'),
    "half a character": file_of(b'{"__metadata__":{"a":"\\ud800"}}'),
    "half a character as a key": file_of(b'{"__metadata__":{"\\udfff":"a"}}'),
    "half a character as a tensor": file_of(b'{"\\udfff":' + json.dumps(entry()).encode() + b"}", b"1234"),
    "leading space": file_of(b" {}"),
    "a mark of byte order": file_of(b"\xef\xbb\xbf{}"),
    "trailing text": file_of(b"{}{}"),
    "metadata twice": file_of(b'{"__metadata__":{},"__metadata__":{}}'),
    "a key twice in metadata": file_of(b'{"__metadata__":{"a":"1","a":"1"}}'),
    "a tensor twice": file_of(
        b'{"a":%b,"a":%b}' % (json.dumps(entry()).encode(), json.dumps(entry()).encode()), b"1234"
    ),
    "a field twice": file_of(b'{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', b"1234"),
    "metadata null": file_of({"__metadata__": None}),
    "metadata list": file_of({"__metadata__": []}),
    "metadata number": file_of({"__metadata__": {"a": 1}}),
    "metadata nested": file_of({"__metadata__": {"a": {"b": "c"}}}),
    "control character": file_of(b'{"__metadata__":{"a":"\n"}}'),
    "trailing data": file_of({"a": entry()}, b"12345"),
    "data without tensors": file_of({}, b"1"),
    "data cut short": file_of({"a": entry()}, b"123"),
    "hole at the start": file_of({"a": entry(offsets=[1, 5])}, b"12345"),
    "hole between": file_of({"a": entry(), "b": entry(offsets=[5, 9])}, b"123456789"),
    "overlap": file_of({"a": entry(), "b": entry(offsets=[3, 7])}, b"1234567"),
    "same bytes twice": file_of({"a": entry(), "b": entry()}, b"1234"),
    "offsets reversed": file_of({"a": entry(offsets=[4, 0])}, b"1234"),
    "offset -0": file_of(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[-0,4]}}', b"1234"),
    "offset as float": file_of(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0.0,4]}}', b"1234"),
    "offset 1e0": file_of(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1e0]}}', b"1"),
    "offset true": file_of(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,true]}}', b"1"),
    "offset NaN": file_of(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,NaN]}}', b"1"),
    "offset of a million digits": file_of(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,%b]}}' % (b"9" * 1_000_000), b"1"
    ),
    "three offsets": file_of({"a": entry(offsets=[0, 4, 4])}, b"1234"),
    "no offsets": file_of({"a": {"dtype": "U8", "shape": [4]}}, b"1234"),
    "one field more": file_of({"a": entry() | {"stride": 1}}, b"1234"),
    "shape too small": file_of({"a": entry(shape=[3])}, b"1234"),
    "shape with a zero": file_of({"a": entry(shape=[0], offsets=[0, 0])}),
    "shape 0 x 2^62": file_of({"a": entry(shape=[0, 2**62], offsets=[0, 0])}),
    "shape overflowing": file_of({"a": entry(shape=[2**62, 4], offsets=[0, 0])}),
    "shape negative": file_of({"a": entry(shape=[-2, -2])}, b"1234"),
    "shape of text": file_of({"a": entry(shape="4")}, b"1234"),
    "shape of true": file_of({"a": entry(shape=[True, 4])}, b"1234"),
    "shape of 9 dimensions": file_of({"a": entry(shape=[4] + [1] * 8)}, b"1234"),
    "shape of 1,000 dimensions": file_of({"a": entry(shape=[4] + [1] * 999)}, b"1234"),
    "dtype F64": file_of({"a": entry("F64", [1], [0, 8])}, bytes(8)),
    "dtype F4": file_of({"a": entry("F4", [8])}, b"1234"),
    "dtype BOOL": file_of({"a": entry("BOOL")}, b"1234"),
    "dtype of text": file_of({"a": entry("u8")}, b"1234"),
    "dtype list": file_of({"a": entry(["U8"])}, b"1234"),  # type: ignore[arg-type]
    "a tensor that is a number": file_of({"a": 1}),
    "20,001 tensors": file_of(
        {str(i): entry(shape=[1], offsets=[i, i + 1]) for i in range(20_001)}, bytes(20_001)
    ),
    "deep nesting": file_of(b'{"a":' * 100_000),
    "deep lists": file_of(b'{"a":' + b"[" * 1_000_000),
    "a header of 4 MiB and a little": file_of(b"{}" + b" " * (4 << 20)),
    "a zip archive": b"PK\x03\x04" + bytes(60),
    "a pickle": b"\x80\x04\x95" + bytes(60),
    "a gguf model": b"GGUF" + bytes(60),
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_a_file_that_is_not_as_it_should_be_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Damaged):
        read(path)


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_reading_only_metadata_fails_in_the_same_way_or_not_at_all(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        with header.opened(path) as file:
            metadata, _ = header.read_metadata(file)
    except Damaged:
        return
    assert all(isinstance(text, str) for pair in metadata.items() for text in pair)


def test_metadata_alone_are_those_of_the_whole_header(path: Path) -> None:
    for table in (
        {"__metadata__": {"a": '}\\"\n'}, "x": entry()},
        {"x": entry(), "__metadata__": {"a": "b"}},
        {"x": entry()},
        {"__metadata__": {}, "x": entry()},
    ):
        for text in (json.dumps(table), json.dumps(table, separators=(",", ":")), json.dumps(table) + "   "):
            path.write_bytes(file_of(text.encode(), b"1234"))
            with header.opened(path) as file:
                found = header.read_metadata(file)
            assert found == (read(path).metadata, 4)


def test_twenty_thousand_tensors_are_read(path: Path) -> None:
    table = {str(i): entry(shape=[1], offsets=[i, i + 1]) for i in range(20_000)}
    path.write_bytes(file_of(table, bytes(20_000)))
    assert len(read(path).tensors) == 20_000


def test_a_file_of_more_than_two_gigabytes_is_refused_unread(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2_000_000_001)
    with pytest.raises(Damaged, match="2,000,000,001"):
        read(path)


def test_another_bound_counts_for_reading_and_for_writing(path: Path) -> None:
    size = 3_000_000_000
    vast: Any = range(size)  # as many items, and takes no memory
    whole = {"x": RawTensor("U8", (size,), vast)}
    with pytest.raises(Damaged, match="too large"):
        header.compose(whole, {})
    head = header.compose(whole, {}, largest=size + 1000)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + size)  # a hole: it takes no space
    with header.opened(path, largest=len(head) + size) as opened:
        assert header.read_header(opened).tensors == {"x": Span("U8", (size,), 0, size)}
    with pytest.raises(Damaged, match="3,000,000,"), header.opened(path, largest=len(head) + size - 1):
        pytest.fail("it was opened")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    good = tmp_path / "good"
    good.write_bytes(file_of({}))
    read(good)
    (tmp_path / "link").symlink_to(good)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name in ("link", "pipe", "folder", "socket"):
            with pytest.raises(Damaged):
                read(tmp_path / name)
    for device in ("/dev/zero", "/proc/self/mem"):
        if os.path.exists(device):
            with pytest.raises(Damaged):
                read(Path(device))


def test_a_file_that_is_not_there_or_closed_to_us(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound):
        read(path)

    def failing(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(DiskError, match="Permission denied"):
        read(path)


def test_a_failing_disk_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(file_of({}))

    def failing(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", failing)
    with pytest.raises(DiskError, match="Input/output error"):
        read(path)
