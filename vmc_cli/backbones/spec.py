"""What is known of a video model without opening it, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vmc_cli.course import Course
from vmc_cli.recipes import RECIPES

if TYPE_CHECKING:
    from vmc_cli.clip import Clip
    from vmc_cli.ways import Way

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""The folders of a model in diffusers layout that are read here."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

MOTION_MODULES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "token": MappingProxyType(
            {
                "trains": tuple(
                    key
                    for key in RECIPES["token"].trains
                    if not key.startswith(("temporal-convolution", "temporal-input"))
                )
            }
        )
    }
)
"""Recipes for families that have motion modules alone: no convolutions, nothing before the blocks."""


@dataclass(frozen=True)
class Origin:
    """A repository of a model hub.

    ``revision`` is a commit; None stands for the newest when it is fetched first, which is written down then.
    ``parts`` are the folders that are fetched; "." is the repository itself. ``sha256`` (hex) of files, where
    it is known beforehand. ``configs`` are the configurations of the parts that have weights, by folder: with
    them can be told what a model costs before it is fetched. ``shelf`` is the folder of the cache that it is
    fetched into.
    """

    repository: str
    revision: str | None = None
    parts: tuple[str, ...] = PARTS
    sha256: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: NOTHING, hash=False)
    shelf: str = "backbones"


@dataclass(frozen=True)
class Spec:
    """A checkpoint.

    ``family`` names the module in this package that loads it, from ``sources`` in the order in which it wants
    them: folders that came with the package or are the user's own, or what is fetched from a hub. Sizes in
    pixels, ``fps`` in frames per second. ``memory_gib`` is what the network's weights take, and learning and
    generating with them at least. ``recipes`` holds, by method, the numbers that suit this model better than
    the paper's.
    ``reconstruction_floor`` (dB) is what `motions.reconstruction` gives for clips that it can draw.
    ``course`` is how it draws best. ``method`` is how motions are learned on it unless another is asked for.
    ``acted`` draws so many clips of things that it knows, which go a way; None where nobody can.
    """

    name: str
    family: str
    sources: tuple[Origin | Path, ...]
    frames: int
    height: int
    width: int
    fps: float
    licence: str
    summary: str
    advice: str = ""
    memory_gib: Mapping[str, float] = field(default_factory=lambda: NOTHING, hash=False)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: NOTHING, hash=False)
    reconstruction_floor: float | None = None
    course: Course = field(default_factory=Course)
    method: str = "vmc"
    acted: Callable[[Way, int], list[Clip]] | None = None

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The sources that have to be fetched before it can be used."""
        return tuple(source for source in self.sources if isinstance(source, Origin))
