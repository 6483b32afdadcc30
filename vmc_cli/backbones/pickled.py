"""The child process that opens pickled weights, once, and writes them as safetensors.

The one place where `torch.load` is called: with ``weights_only``, without a network, in little memory, and
with nothing to start a program by.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_NAMES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"},
    **{"int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"},
}
"""What torch calls a format, and what safetensors does."""

_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "os.fork",
    "pty.",
)
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # unshare(2)


def main(source: str, target: str, memory: int) -> None:
    """Convert the file ``source`` into ``target``, a new file; ends the process with 3 and a sentence if not.

    ``memory`` bounds the address space in bytes.
    """
    _leave_network()
    import torch  # noqa: F401  (its libraries are not what the bound is for)

    _limit(memory)
    sys.addaudithook(_forbid)
    if reason := convert(source, Path(target)):
        sys.stderr.write(f"{reason}\n")
        sys.stderr.flush()
        os._exit(3)


def convert(source: str, target: Path) -> str:
    """Write the weights in the pickle ``source`` as ``target``, a new file; "" or in one line why not."""
    import torch

    from registry import files
    from registry.errors import RegistryError

    try:
        found = torch.load(source, map_location="cpu", weights_only=True)
        files.publish(target, _composed(found, os.stat(source).st_size))
    except RegistryError as error:
        return error.message
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return ""


def _composed(found: Any, size: int) -> list[Any]:
    """The bytes of a safetensors file for what a pickle of ``size`` bytes held. Raises ValueError."""
    import torch

    while isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found:
        raise ValueError("it does not hold weights by their names")
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    chunks, end = [], 0
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ValueError(f"its entry {name!r:.100} is no named tensor")
        kind = _NAMES.get(str(value.dtype).removeprefix("torch."))
        end += value.numel() * value.element_size()
        if (
            kind is None or value.layout is not torch.strided or end > 4 * size
        ):  # views may repeat a few bytes
            raise ValueError(f"its tensor {name:.100} is not a plain one")
        data = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        table[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [end - data.nbytes, end]}
        chunks.append(memoryview(data))
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 8)
    return [len(head).to_bytes(8, "little") + head, *chunks]


def _forbid(event: str, _: Any) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"the file wants {event}, which weights never do")


def _leave_network() -> None:
    """Into a network of its own, with nobody in it, where the system lets us; `_forbid` is there anyway."""
    with suppress(OSError, AttributeError, TypeError):  # Windows asks for a name
        unshare: Callable[[int], int] = ctypes.CDLL(None).unshare
        unshare(_NEW_USER | _NEW_NETWORK)


def _limit(memory: int) -> None:
    with suppress(ImportError, OSError, ValueError):  # Windows has no limits; a hard one may be lower
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
