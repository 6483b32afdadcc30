"""Small motions to save and find again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from registry.card import Card, Source
from registry.header import RawTensor
from registry.store import Store

CARD = Card(
    name="seagull_walk",
    backbone="sprites",
    revision="5f" * 32,
    method="vmc",
    recipe={"rank": 16, "learning_rate": 3e-4, "betas": [0.9, 0.99], "clip_norm": None, "stride": 1},
    prompt="a seagull is walking on the beach",
    prompt_used="a seagull is walking",
    frames=8,
    height=64,
    width=64,
    fps=8.0,
    seed=33,
    sources=(Source("seagull.mp4", "c1" * 32),),
    versions={"vmc": "0.1.0", "torch": "2.13.0"},
    created="2024-02-29T23:59:60Z",
    seconds=61.5,
    loss=0.125,
    steps=300,
)


def card(**changes: Any) -> Card:
    return dataclasses.replace(CARD, **changes)


def tensors(fill: int = 1, size: int = 64) -> dict[str, RawTensor]:
    """Three tensors, the two-byte one `size` items long, all bytes `fill`."""
    one = bytes([fill])
    return {
        "preview": RawTensor("U8", (3, 5), one * 15),
        "unet.layer.lora_A.weight": RawTensor("F32", (2, 2), one * 16),
        "start_noise": RawTensor("F16", (size,), one * 2 * size),
    }


def save(store: Store, name: str, fill: int = 1, size: int = 64, replace: bool = False) -> Path:
    """A motion called `name` whose card and data both say `fill`."""
    with store.writing(name, replace) as slot:
        return slot.publish(card(seed=fill), tensors(fill, size))


def saved(store: Store, name: str) -> int:
    """The `fill` that `name` was saved with, when all of it says the same."""
    found, data = store.load(name)
    size = len(data["start_noise"].data) // 2
    assert data == tensors(found.seed, size)
    return found.seed
