"""The registry answers at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from registry import files
from registry.header import RawTensor
from registry.store import Store
from tests.counting import counted
from tests.specimens import CARD

CALLS = 400
"""For each; some 290 are made, and a thousand motions take 0.2 s on a laptop."""


def fill(root: Path, count: int, weights: int) -> None:
    """`count` motions of `weights` tensors each, without the cost of flushing."""
    store = Store(root)
    with store.writing("first") as slot:
        layers = {f"unet.block.{i}.to_q.lora_A.weight" for i in range(weights)}
        weight = RawTensor("F32", (1,), bytes(4))
        content = slot.publish(CARD, dict.fromkeys(layers, weight)).read_bytes()
    for number in range(count - 1):
        (root / f"m{number}.safetensors").write_bytes(content)


def test_a_motion_is_listed_with_few_calls_however_large_it_is(store: Store) -> None:
    fill(store.root, 100, weights=256)
    with counted() as calls:
        assert len(store.entries()) == 100
    assert calls[0] < 100 * CALLS


def test_the_registry_is_light_to_import() -> None:
    code = "import sys, registry.store; print(*sys.modules)"
    root = Path(files.__file__).parents[2]
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    ).stdout.split()
    heavy = {"torch", "numpy", "safetensors", "platformdirs", "hashlib", "shutil", "difflib"}
    assert not heavy & set(loaded)
