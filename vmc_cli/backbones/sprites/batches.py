"""Random clips of the world in one go, for training."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor

from . import scenes, world
from .drawing import draw
from .places import paint


def place_bank(variants: int) -> Tensor:
    """Looks of every place, drawn once: (places, variants, 3, SIZE, SIZE) uint8."""
    looks = [[paint(place, variant) for variant in range(variants)] for place in world.PLACES]
    return torch.from_numpy(np.round((np.array(looks) + 1) * 127.5).astype(np.uint8))


def drawn(rng: random.Random, count: int, bank: Tensor) -> tuple[Tensor, list[str], Tensor]:
    """Random clips (count, F, 3, SIZE, SIZE) in [-1, 1], their captions, and the places without anyone."""
    told, captions = zip(*(scenes.draw(rng) for _ in range(count)), strict=True)
    order = {name: index for index, name in enumerate(world.PLACES)}
    rows = torch.tensor([order[s.place] for s in told], device=bank.device)
    looks = torch.tensor([s.variant % bank.shape[1] for s in told], device=bank.device)
    places = bank[rows, looks].float() / 127.5 - 1
    return draw(told, places), [scenes.beside_strange_words(c, rng) for c in captions], places
