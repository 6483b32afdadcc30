"""Less memory for learning: what a block computed is forgotten, and computed again when gradients need it.

`enable_gradient_checkpointing()` does nothing, or raises, on the networks used here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

KINDS = ("none", "selective", "full")
"""What is computed again: nothing; all but convolutions and attention, which take longest; everything."""

LAYERS = (
    ResnetBlock2D,
    TemporalConvLayer,
    Transformer2DModel,
    TransformerTemporalModel,
    AnimateDiffTransformer3D,
)
"""What networks are made of many times over; none is in another, and nearly all of the work is in them."""


@contextmanager
def checkpointed(network: nn.Module, kind: str) -> Iterator[None]:
    """Let ``network`` keep only what enters each layer of it while inside; gradients are the same.

    Whatever acts on it besides (hooks, frozen parameters) must still act when ``backward`` is called.
    """
    if kind == "none":
        yield
        return
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}  # it draws nothing
    if kind == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _policy)
    layers = [module for module in network.modules() if isinstance(module, LAYERS)]
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, **options)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    kept = "attention" in operator.name() or operator.name().startswith(("aten::convolution", "xformers"))
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
