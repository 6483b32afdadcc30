"""The embedded text-to-video model: its world, its weights, and how both are made."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""A folder in diffusers layout: unet, vae, text_encoder, tokenizer, scheduler."""
