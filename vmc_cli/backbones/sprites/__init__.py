"""The embedded text-to-video model: its world, its weights, and how both are made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmc_cli.clip import Clip
    from vmc_cli.ways import Way

WEIGHTS = Path(__file__).parent / "weights"
"""A folder in diffusers layout: unet, vae, text_encoder, tokenizer, scheduler."""


def acted(way: Way, count: int) -> list[Clip]:
    """See `acting.acted`; what draws is loaded when it is wanted."""
    from . import acting

    return acting.acted(way, count)
