"""The child process that loads the libraries and says what they find. Light until a probe is made."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any


def main(names: str) -> None:
    """Make the probes of these names, parted by commas, and write the answer of each as a line of JSON."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # libraries may print
        for name in names.split(","):
            try:
                answer = PROBES[name]()
            except BaseException as error:  # some exit when they do not like what they find
                answer = {"problem": f"{type(error).__name__}: {error}"}
            answers.write(json.dumps({"probe": name, **answer}) + "\n")
            answers.flush()
    os._exit(0)  # what a library does at its end is not asked for


def videos() -> dict[str, Any]:
    """Reading and writing videos."""
    import av

    x264 = "libx264" in av.codecs_available
    codec = "H.264 (libx264)" if x264 else "MPEG-4, as this build of av has no libx264"
    return {"value": f"mp4 as {codec}", "x264": x264}


def device() -> dict[str, Any]:
    """The device, its number format and its memory in bytes."""
    import torch

    from vmc_cli import device as here

    chosen = here.choose_device()
    dtype = str(here.compute_dtype(chosen)).removeprefix("torch.")
    free, total = (
        torch.cuda.mem_get_info(chosen) if chosen.type == "cuda" else (_memory("Available"), _memory("Total"))
    )
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{os.cpu_count()} cores"
    memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free" if free and total else "memory not known"
    return {
        "value": f"{chosen.type} ({name}), {dtype}, {memory}",
        "device": chosen.type,
        "device_name": name,
        "dtype": dtype,
        "cuda": torch.version.cuda,
        "memory_free": free,
        "memory_total": total,
    }


def attention() -> dict[str, Any]:
    """The kernels for attention. None of them is needed: torch has its own."""
    import torch

    flags = ("flash", "mem_efficient", "cudnn")
    found = {
        flag: bool(getattr(torch.backends.cuda, f"{flag}_sdp_enabled", bool)()) and torch.cuda.is_available()
        for flag in flags
    }
    try:
        import xformers.ops

        xformers_version, xformers_fault = str(xformers.__version__), ""
    except ImportError as error:
        gone = isinstance(error, ModuleNotFoundError) and error.name == "xformers"
        xformers_version, xformers_fault = None, "not installed" if gone else f"broken: {error}"
    except Exception as error:
        xformers_version, xformers_fault = None, f"broken: {type(error).__name__}: {error}"
    own = ", ".join(flag.replace("_", "-") for flag, there in found.items() if there)
    names = [f"torch's own{f' ({own})' if own else ''}", f"xformers {xformers_version or xformers_fault}"]
    return {"value": "; ".join(names), "xformers": xformers_version, **found}


def together() -> dict[str, Any]:
    """Whether all that learning and generating need can be loaded into one process."""
    import cv2  # noqa: F401
    import peft  # noqa: F401
    import PIL.Image  # noqa: F401

    import vmc_cli.backbones.animatediff
    import vmc_cli.backbones.unet3d
    import vmc_cli.motions  # noqa: F401

    return {"value": "all libraries can be loaded together"}


def _memory(kind: str) -> int | None:
    """Bytes of main memory, where Linux tells."""
    with suppress(OSError):
        found = re.search(rf"Mem{kind}:\s*(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        return 1024 * int(found[1]) if found else None
    return None


PROBES: Mapping[str, Callable[[], dict[str, Any]]] = MappingProxyType(
    {"videos": videos, "device": device, "attention": attention, "loading": together}
)
"""By the name of what they look at, the lightest first."""

if __name__ == "__main__":
    main(sys.argv[1])
