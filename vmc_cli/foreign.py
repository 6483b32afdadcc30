"""Safetensors files from elsewhere, read whole, before anybody knows what they are."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry import header
from registry.errors import NotFound, RegistryError
from registry.header import RawTensor
from vmc_cli.errors import NotFoundError

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class File:
    """What is in a file; ``name`` is without its folder."""

    name: str
    metadata: Mapping[str, str]
    tensors: Mapping[str, RawTensor]


def read(path: Path) -> File:
    """The file at ``path``. Raises NotFoundError, and as `registry.header` does."""
    try:
        head, tensors = header.read_whole(Path(os.path.realpath(path)))  # caches of hubs hold links
    except NotFound:
        raise NotFoundError(f"There is no file {path}.", f"Name one that ends in {SUFFIX}.") from None
    except RegistryError as error:
        raise type(error)(f"{path} cannot be used: {error.message}.", error.hint) from None
    return File(path.name, head.metadata, tensors)


def numbers(tensor: RawTensor) -> tuple[float, ...]:
    """The numbers in a small tensor."""
    data, dtype = tensor.data, tensor.dtype
    if dtype == "BF16":  # the upper half of a float32
        data = b"".join(b"\0\0" + data[begin : begin + 2] for begin in range(0, len(data), 2))
    letter, size = {"F32": ("f", 4), "BF16": ("f", 4), "F16": ("e", 2), "U8": ("B", 1)}[dtype]
    return struct.unpack(f"<{len(data) // size}{letter}", data)
