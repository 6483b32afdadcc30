"""How noise is turned into a video, as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from registry.card import Card
from vmc_cli.recipe import MOTION, SUBJECT

STEPS = 50
GUIDANCE = 7.5

SOLVERS = ("ddim", "dpm++")
"""How a step gets from one timestep to the next, see `sampling.sample`."""


@dataclass(frozen=True)
class Course:
    """What `sampling.sample` goes by.

    ``steps`` of denoising by ``solver``; ``guidance`` is how far from the negative prompt, from the share
    ``guide_from`` of the noising down to ``guide_until``, ``eta`` how much fresh noise there is meanwhile.
    ``guide_from`` is for noise made from a motion, which tells the way while most is noise (`from_noise`).
    Above it ``still_guidance`` guides what all frames share, the place: that cannot lead off the way. With
    the ``guidance`` 1 there is none at all.
    """

    steps: int = STEPS
    solver: str = "ddim"
    guidance: float = GUIDANCE
    guide_from: float = 1.0
    guide_until: float = 0.0
    still_guidance: float = 1.0
    eta: float = 0.0

    def liked_by(self, learned: Sequence[tuple[Card, float]]) -> Course:
        """This as what was ``learned`` likes it better, each with its strength: at 0 nothing likes anything.

        The guidance is the first motion's, if its recipe tells one.
        """
        first = next((each for each in learned if each[0].kind == MOTION), None)
        told = first[0].recipe.get("guidance") if first and first[1] else None
        told = told if isinstance(told, int | float) and math.isfinite(told) else None
        liked = self if told is None else replace(self, guidance=float(told))
        subject = any(strength for card, strength in learned if card.kind == SUBJECT)
        return liked.with_subject() if subject else liked

    @property
    def guided(self) -> float:
        """The share of the noising that is guided: steps take twice as long there."""
        if self.guidance == 1:
            return 0.0
        begin = self.guide_from if self.still_guidance == 1 else 1.0
        return max(0.0, begin - self.guide_until)

    def scales(self, left: float) -> tuple[float, float]:
        """How far what moves is guided, and what stands still, where ``left`` of the noising is left."""
        if self.guidance == 1:
            return 1.0, 1.0
        if left > self.guide_from:
            return 1.0, self.still_guidance
        scale = self.guidance if left >= self.guide_until else 1.0
        return scale, scale

    def with_subject(self) -> Course:
        """This as it is for a learned subject: where that does not act yet, its noun would be drawn."""
        return replace(self, still_guidance=1.0)

    def from_noise(self, noise: str) -> Course:
        """This as it is for a video that starts from ``noise``: random noise is guided from the beginning."""
        return replace(self, guide_from=1.0) if noise == "random" else self
