"""The registry answers at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from registry import files
from registry.header import RawTensor
from registry.store import Store
from tests.specimens import CARD


def fill(root: Path, count: int, weights: int) -> None:
    """`count` motions of `weights` tensors each, without the cost of flushing."""
    store = Store(root)
    with store.writing("first") as slot:
        layers = {f"unet.block.{i}.to_q.lora_A.weight" for i in range(weights)}
        weight = RawTensor("F32", (1,), bytes(4))
        content = slot.publish(CARD, dict.fromkeys(layers, weight)).read_bytes()
    for number in range(count - 1):
        (root / f"m{number}.safetensors").write_bytes(content)


def test_a_thousand_motions_are_listed_in_well_under_half_a_second(store: Store) -> None:
    fill(store.root, 1000, weights=256)
    times = []
    for _ in range(5):
        start = time.process_time()  # other processes may be at work
        assert len(store.entries()) == 1000
        times.append(time.process_time() - start)
    assert min(times) < 0.4


def test_the_registry_is_light_to_import() -> None:
    code = "import sys, registry.store; print(*sys.modules)"
    root = Path(files.__file__).parents[2]
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    ).stdout.split()
    heavy = {"torch", "numpy", "safetensors", "platformdirs", "hashlib", "shutil", "difflib"}
    assert not heavy & set(loaded)
