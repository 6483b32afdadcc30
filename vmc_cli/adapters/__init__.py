"""How a method changes what it trains, and how that acts on a network later: a class each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from vmc_cli.adapters.base import Acts, Adapter, Trainable, all_along, together
from vmc_cli.adapters.embedding import Embedding
from vmc_cli.adapters.paths import Paths
from vmc_cli.adapters.weights import Weights, difference, shapes, trained
from vmc_cli.adapters.words import Words
from vmc_cli.backbones.base import Backbone
from vmc_cli.recipe import Adaptation

__all__ = [
    "ADAPTERS",
    "Acts",
    "Adapter",
    "Paths",
    "Trainable",
    "Words",
    "all_along",
    "difference",
    "place",
    "shapes",
    "together",
    "trained",
]

ADAPTERS: Mapping[str, type[Adapter]] = MappingProxyType({"weights": Weights, "embedding": Embedding})
"""By the name in a recipe (`recipe.ADAPTERS`)."""


def place(
    backbone: Backbone, adaptation: Adaptation, learned_shape: tuple[int, ...] | None = None
) -> Adapter:
    """The adapter of a recipe on this backbone. Raises `IncompatibleError` when it has no such sites.

    ``learned_shape`` (C, F, h, w) is that of a motion's latents where it may differ from the backbone's.
    """
    return ADAPTERS[adaptation.adapter](backbone, adaptation, learned_shape or backbone.latent_shape)
