"""The header of a safetensors file, read as if a stranger wrote it: bounded, complete, and never
memory-mapped.

The format: eight bytes with the header's length N, N bytes of JSON, then the tensors' bytes without a gap
(https://huggingface.co/docs/safetensors). Whatever is accepted here, the safetensors library accepts too.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any, NamedTuple

from registry.disk import CAREFUL
from registry.errors import Damaged, DiskError, NotFound

LARGEST_HEADER = 4 << 20
LARGEST_FILE = 2_000_000_000  # bytes, where a stranger may have written them
MOST_TENSORS = 20_000
MOST_DIMENSIONS = 8
ITEM_SIZE = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1}

_METADATA = "__metadata__"
_ENTRY = {"dtype", "shape", "data_offsets"}


class RawTensor(NamedTuple):
    """A tensor as it lies in the file: `dtype` one of ITEM_SIZE, `data` little-endian in row-major order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Span(NamedTuple):
    """A tensor's place: the bytes from `begin` to `end`, counted from the header's end."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself. `tensors` are in the order of their bytes, which begin at `data_offset`."""

    metadata: dict[str, str]
    tensors: dict[str, Span]
    data_offset: int


@contextmanager
def opened(path: Path, largest: int = LARGEST_FILE) -> Iterator[int]:
    """`path` open for reading: a file, of up to `largest` bytes. Raises NotFound, Damaged, DiskError."""
    try:
        file = os.open(path, os.O_RDONLY | CAREFUL)
        try:
            state = os.fstat(file)
            if not stat.S_ISREG(state.st_mode):
                raise Damaged("it is not a file")
            if not 0 < state.st_size <= largest:
                raise Damaged("it is empty" if not state.st_size else f"it has {state.st_size:,} bytes")
            yield file
        finally:
            os.close(file)
    except FileNotFoundError:
        raise NotFound("it is not there") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise Damaged("it is a link to another file") from None
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):
            raise Damaged("it is not a file") from None
        raise DiskError(f"it cannot be read: {error.strerror or error}") from error


def read_header(file: int) -> Header:
    """The header of the `opened` file, all of it checked. Leaves the file at its data. Raises Damaged."""
    return parse(_head(file), os.fstat(file).st_size)


def read_metadata(file: int) -> tuple[dict[str, str], int]:
    """The metadata of the `opened` file and the size of its data, the table unread: for long lists."""
    head = _head(file)
    text = _text(head)
    data_size = os.fstat(file).st_size - len(head)
    start = f'{{"{_METADATA}":'
    if not text.startswith(start + "{"):  # not as we write it
        return parse(head, len(head) + data_size).metadata, data_size
    with _readable():
        return _strings(_HEADER.raw_decode(text, len(start))[0]), data_size


def read_whole(path: Path, largest: int = LARGEST_FILE) -> tuple[Header, dict[str, RawTensor]]:
    """The file at `path`: its header, and all tensors. Raises as `opened` does."""
    with opened(path, largest) as file:
        header = read_header(file)
        return header, {
            key: RawTensor(span.dtype, span.shape, read_bytes(file, span.end - span.begin))
            for key, span in header.tensors.items()
        }


def read_bytes(file: int, size: int) -> bytes:
    """The next `size` bytes. Raises Damaged when there are fewer."""
    parts = []
    missing = size
    while missing and (part := os.read(file, missing)):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise Damaged(f"it is cut short: {missing:,} bytes are missing")
    return b"".join(parts)


def parse(head: bytes, size: int) -> Header:
    """The header in `head`, the first bytes of a file of `size` bytes up to its data. Raises Damaged."""
    with _readable():
        table = _HEADER.decode(_text(head))
    if not isinstance(table, dict):
        raise Damaged("its header is not a table")
    metadata = _strings(table.pop(_METADATA, {}))
    if len(table) > MOST_TENSORS:
        raise Damaged(f"it claims {len(table):,} tensors")
    _encodable(table)
    spans = [(name, _span(name, entry)) for name, entry in table.items()]
    spans.sort(key=lambda item: item[1].begin)
    end = 0
    for name, span in spans:
        if span.begin != end:
            raise Damaged(f"there is a hole or an overlap before its tensor {name[:80]!r}")
        end = span.end
    if end != size - len(head):
        raise Damaged(f"it should have {len(head) + end:,} bytes and has {size:,}")
    return Header(metadata, dict(spans), len(head))


def compose(
    tensors: Mapping[str, RawTensor], metadata: Mapping[str, str], largest: int = LARGEST_FILE
) -> bytes:
    """All bytes of a file before its data, for `tensors` whose bytes follow in this order.

    Raises Damaged for what would be refused when read, a file of more than `largest` bytes too.
    """
    table: dict[str, object] = {_METADATA: dict(metadata)}
    end = 0
    for name, (dtype, shape, data) in tensors.items():
        begin, end = end, end + len(data)
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    head = len(text).to_bytes(8, "little") + text
    if len(text) > LARGEST_HEADER or len(head) + end > largest:
        raise Damaged(f"{len(head) + end:,} bytes with a header of {len(text):,} are too large for one file")
    written = parse(head, len(head) + end)  # what would be refused when read is refused now
    if written.metadata != metadata or list(written.tensors) != list(tensors):
        raise Damaged("its tensors or its metadata cannot be told in a header")
    return head


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`: no key twice, all numbers finite, all text encodable. Raises Damaged."""
    with _readable():
        found = _CARD.decode(text)
    if not isinstance(found, dict):
        raise Damaged("its card is not a table")
    if "\\u" in text:
        _encodable([json.dumps(found, ensure_ascii=False)])
    return found


def _head(file: int) -> bytes:
    size = os.fstat(file).st_size
    prefix = read_bytes(file, min(8, size))
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not 2 <= length <= size - 8:
        raise Damaged("it is cut short or not a safetensors file")
    if length > LARGEST_HEADER:
        raise Damaged(f"its header claims {length:,} bytes")
    return prefix + read_bytes(file, length)


def _text(head: bytes) -> str:
    if head[8:9] != b"{":
        raise Damaged("it is not a safetensors file")
    try:
        return head[8:].decode()
    except UnicodeDecodeError:
        raise Damaged("its header is not text") from None


def _span(name: str, entry: object) -> Span:
    """One row of the table: a small shape of known type whose bytes are as many as it needs."""
    if isinstance(entry, dict) and entry.keys() == _ENTRY:
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if (
            isinstance(dtype, str)
            and dtype in ITEM_SIZE
            and isinstance(shape, list)
            and len(shape) <= MOST_DIMENSIONS
            and all(type(length) is int and length > 0 for length in shape)
            and isinstance(offsets, list)
            and [type(offset) for offset in offsets] == [int, int]
            and offsets[1] - offsets[0] == prod(shape) * ITEM_SIZE[dtype]
        ):
            return Span(dtype, tuple(shape), *offsets)
    raise Damaged(f"its tensor {name[:80]!r} is not described as it should be")


def _strings(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Damaged("its metadata is not text")
    _encodable([*metadata, *metadata.values()])
    return metadata


def _encodable(texts: list[str] | dict[str, object]) -> None:
    """JSON can spell half a character (a lone surrogate): the library refuses it, and print() would die."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise Damaged("its text holds half a character") from None


@contextmanager
def _readable() -> Iterator[None]:
    """Whatever a JSON decoder stumbles over, depth and size included, is damage."""
    try:
        yield
    except (ValueError, RecursionError):
        raise Damaged("its header cannot be read") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Damaged("its header holds a key twice")
    return found


def _integer(text: str) -> int:
    return int(_short(text))


def _natural(text: str) -> int:
    if text.startswith("-"):  # "-0" too
        raise ValueError(text)
    return int(_short(text))


def _finite(text: str) -> float:
    number = float(_short(text))
    if not isfinite(number):
        raise ValueError(text)
    return number


def _short(text: str) -> str:
    if len(text) > 40:  # no number we write is as long, and reading a long one takes quadratic time
        raise ValueError(text[:40])
    return text


def _refused(text: str) -> float:
    raise ValueError(text[:40])


_HEADER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_natural, parse_float=_refused, parse_constant=_refused
)
_CARD = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_finite, parse_constant=_refused
)
