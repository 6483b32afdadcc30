"""The child process that loads the libraries and says what they find. Light until a probe is made."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
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
    free = here.available_memory(chosen)
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{os.cpu_count()} cores"
    memory = f"{free / 2**30:.1f} GiB free" if math.isfinite(free) else "memory not known"
    return {
        "value": f"{chosen.type} ({name}), {dtype}, {memory}",
        "device": chosen.type,
        "device_name": name,
        "dtype": dtype,
        "cuda": torch.version.cuda,
        "memory_free": int(free) if math.isfinite(free) else None,
    }


def attention() -> dict[str, Any]:
    """The kernels for attention. None of them is needed: torch has its own."""
    import torch

    flags = ("flash", "mem_efficient", "cudnn")
    found = {
        flag: bool(getattr(torch.backends.cuda, f"{flag}_sdp_enabled", bool)()) and torch.cuda.is_available()
        for flag in flags
    }
    xformers_version, xformers_fault = _xformers(torch.cuda.is_available())
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


def _xformers(wanted: bool) -> tuple[str | None, str]:
    """Its version, or what is wrong with it. It is loaded only where it is wanted."""
    from vmc_cli.backbones import kernels

    try:
        version = metadata.version("xformers")
        if not wanted:
            return None, f"{version} not used, as there is no NVIDIA GPU"
        kernels.xformers()
    except metadata.PackageNotFoundError:
        return None, "not installed"
    except Exception as error:
        return None, f"broken: {type(error).__name__}: {error}"
    return version, ""


PROBES: Mapping[str, Callable[[], dict[str, Any]]] = MappingProxyType(
    {"videos": videos, "device": device, "attention": attention, "loading": together}
)
"""By the name of what they look at, the lightest first."""

if __name__ == "__main__":
    main(sys.argv[1])
