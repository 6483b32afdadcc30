"""What learning and generating are going to take, told before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from vmc_cli import adapters, backbones, memory
from vmc_cli.backbones import Spec
from vmc_cli.costs import IN_BYTES, LEARNING_LEVELS, LEVELS, Cost, generating, learning
from vmc_cli.course import Course
from vmc_cli.device import available_memory, choose_device, compute_dtype, speed
from vmc_cli.motions import starting
from vmc_cli.motions.learning import file_sizes
from vmc_cli.recipe import Recipe

UTILISATION = 0.25
"""Of the speed of large products: the embedded model reached 0.19 (learning) to 0.30 (generating)."""


@dataclass(frozen=True)
class Estimate:
    """Of a backbone and what is trained of it: see `to_json` for the units.

    ``costs`` are those of a step at each level of memory (`costs.LEVELS`), ``steps`` how many there are,
    ``surrounding`` the floating point operations beside them and ``speed`` how many a second this machine
    does at best, ``available`` the bytes that it has left, ``asked`` a level or "auto".
    """

    parameters: int
    trained_parameters: int
    trained_layers: int
    file_bytes: int
    costs: Mapping[str, Cost]
    steps: int
    surrounding: int
    speed: float
    available: float
    asked: str

    @property
    def level(self) -> str:
        """The level of memory that would be used."""
        if self.asked != "auto":
            return self.asked
        return memory.highest(self._peak, self.available) or LEVELS[-1]

    @property
    def fits(self) -> bool:
        """Whether this machine has that much memory."""
        return self._peak(self.level) * memory.MARGIN <= self.available

    @property
    def seconds(self) -> float:
        """About how long it takes here; the model has to be loaded too."""
        flops = self.steps * self.costs[self.level].flops + self.surrounding
        return flops / (self.speed * UTILISATION)

    def to_json(self) -> dict[str, Any]:
        """With the floating point operations of a step in units of 10^12, and memory in GiB."""
        return {
            "parameters": self.parameters,
            "trained_parameters": self.trained_parameters,
            "trained_layers": self.trained_layers,
            "file_bytes": self.file_bytes,
            "tflop_per_step": round(self.costs[self.level].flops / 1e12, 6),
            "seconds": round(self.seconds, 1),
            "memory_gib": {level: round(cost.peak / 2**30, 6) for level, cost in self.costs.items()},
            "memory": self.level,
            "fits": self.fits,
        }

    def _peak(self, level: str) -> int:
        return self.costs[level].peak


def require_layers(spec: Spec, recipe: Recipe) -> None:
    """Raise `IncompatibleError` unless the backbone has all layers that ``recipe`` names."""
    backbone = _blueprint(spec)
    adapters.place(backbone, recipe.adaptation)
    backbone.sites_for(recipe.aside)


def of_learning(spec: Spec, recipe: Recipe, clips: int, others: int = 0, *, asked: str) -> Estimate:
    """What learning takes, from so many clips and ``others`` of other motions, at a level or "auto"."""
    backbone = _blueprint(spec)
    file_bytes, _ = file_sizes(backbone, recipe, clips, others)
    every = clips * recipe.examples + others

    levels = LEARNING_LEVELS if asked == IN_BYTES else LEVELS  # it takes as long to count as the others
    found = {level: learning(backbone, recipe, level, every) for level in levels}
    inverted = clips * (1 + len(recipe.turned))
    inversion = inverted * recipe.inversion_steps * generating(backbone, "high", guided=False).flops
    return _estimate(backbone, [recipe], file_bytes, found, asked, recipe.steps, inversion)


def of_generating(
    spec: Spec,
    recipes: Sequence[Recipe],
    file_bytes: int,
    *,
    course: Course | None = None,
    asked: str,
) -> Estimate:
    """What a video takes that follows motions learned by ``recipes``, whose files have so many bytes."""
    backbone, course = _blueprint(spec), course or spec.course

    found = {level: generating(backbone, level, guided=course.guided > 0) for level in LEVELS}
    unguided = round(course.steps * (1 - course.guided))
    compared = max((starting.comparisons(recipe) for recipe in recipes), default=0)
    rest = (unguided + compared) * generating(backbone, "high", guided=False).flops
    return _estimate(backbone, recipes, file_bytes, found, asked, course.steps - unguided, rest)


def _blueprint(spec: Spec) -> Any:
    device = choose_device()
    return _built(spec, device, compute_dtype(device))


_built = cache(backbones.blueprint)
"""Many clips are often rehearsed together: what they cost is counted once, see `costs`."""


def _estimate(  # noqa: PLR0917
    backbone: Any,
    recipes: Sequence[Recipe],
    file_bytes: int,
    costs: Mapping[str, Cost],
    asked: str,
    steps: int,
    surrounding: int = 0,
) -> Estimate:
    placed = [adapters.place(backbone, recipe.adaptation) for recipe in recipes]
    shapes = [shape for adapter in placed for shape in adapter.shapes().values()]
    return Estimate(
        parameters=sum(parameter.numel() for parameter in backbone.network.parameters()),
        trained_parameters=sum(map(math.prod, shapes)),
        trained_layers=sum(len(adapter.sites) for adapter in placed),
        file_bytes=file_bytes,
        costs=costs,
        steps=steps,
        surrounding=surrounding,
        speed=speed(backbone.stands_on, compute_dtype(backbone.stands_on)),
        available=available_memory(backbone.stands_on),
        asked=asked,
    )
