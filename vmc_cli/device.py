"""What this machine can do: the device, the number format, random numbers, and how much memory there is."""

from __future__ import annotations

import math
import re
import time
from functools import cache
from pathlib import Path

import torch

from vmc_cli.errors import UsageError

MOMENT = 0.1  # seconds that `speed` measures for


def choose_device(name: str | None = None) -> torch.device:
    """The device called ``name`` ("cpu", "cuda", "cuda:1"); without a name the best there is.

    Raises:
        UsageError: torch does not know that device, or this machine does not have it.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UsageError(
            f"There is no device {name!r} here.", "Leave it out to use the best there is."
        ) from error
    return device


def compute_dtype(device: torch.device) -> torch.dtype:
    """The format of frozen weights and most arithmetic. Latents, losses and what is trained are float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "cpu" and _cpu_multiplies_bfloat16():
        return torch.bfloat16
    return torch.float32


def generator(seed: int) -> torch.Generator:
    """Where all random numbers of a run come from: the CPU, so that a seed means the same everywhere."""
    return torch.Generator("cpu").manual_seed(seed)


def available_memory(device: torch.device) -> float:
    """Bytes that can still be allocated on ``device``; infinite where nothing tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if device.type == "cpu":
        return min(_available_to_linux(), _available_to_group())
    return math.inf


@cache
def speed(device: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations a second in products of large matrices, measured here in a moment."""
    matrix = torch.ones(1024, 1024, device=device, dtype=dtype)
    torch.mm(matrix, matrix).sum().item()  # asking for a number waits for the device
    began, products = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < MOMENT:
        for _ in range(8):
            torch.mm(matrix, matrix)
        torch.mm(matrix, matrix).sum().item()
        products += 9
    return 2 * 1024**3 * products / passed


def ran_out(error: Exception) -> bool:
    """Whether there was too little memory. The CPU's allocator has no exception class of its own."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _available_to_linux() -> float:
    """What the system can give without swapping."""
    found = re.search(r"MemAvailable:\s*(\d+) kB", _read(Path("/proc/meminfo")))
    return 1024.0 * int(found[1]) if found else math.inf


def _available_to_group() -> float:
    """What the control group that this process is in, a container above all, can still have."""
    group = Path("/sys/fs/cgroup")
    limit, used = (_read(group / name).strip() for name in ("memory.max", "memory.current"))
    cached = re.search(r"^inactive_file (\d+)", _read(group / "memory.stat"), re.MULTILINE)
    if not limit.isdigit() or not used.isdigit():
        return math.inf
    return float(int(limit) - int(used) + (int(cached[1]) if cached else 0))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _cpu_multiplies_bfloat16() -> bool:
    """In hardware. Without it bfloat16 is slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(probe() for name in probes if (probe := getattr(torch.cpu, name, None)))
