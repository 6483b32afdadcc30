"""What a step of training sees, and behind how much noise: looks first, then where, then clips."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DECIDED = 0.65  # of the noising: below it the noise tells where things are
NEW = 0.15  # of the time: for as long clips are new


@dataclass(frozen=True)
class Lesson:
    """``single`` frames or clips, ``close`` to the subject or whole, a share ``noisy`` behind much noise."""

    single: bool
    close: bool
    noisy: float

    @property
    def many(self) -> int:
        """How many of them a step sees for each clip that it could see."""
        return 16 if self.close else 8 if self.single else 1


@dataclass(frozen=True)
class Plan:
    """Shares of the time: ``looks``, then ``where`` things are, both by single frames; the rest by clips."""

    looks: float
    where: float

    def stills(self, done: float) -> bool:
        """Whether clips are still to come at ``done`` of the whole."""
        return done < self.looks + self.where

    def lesson(self, done: float, generator: torch.Generator) -> Lesson:
        """What the step at ``done`` of the whole sees.

        Looks are learned close up, and behind little noise; where things are from words, behind much. So is
        how they move as long as clips are new; then single frames come back, for looks are forgotten
        meanwhile.
        """
        chance = float(torch.rand((), generator=generator))
        if done < self.looks:
            return Lesson(single=True, close=chance < 0.75, noisy=0.0)
        if self.stills(done):
            return Lesson(single=True, close=False, noisy=0.7)
        if done < self.looks + self.where + NEW:
            return Lesson(single=chance < 0.08, close=False, noisy=0.7)
        if chance < 0.1:
            return Lesson(single=True, close=True, noisy=0.0)
        single = chance < 0.2
        return Lesson(single, close=False, noisy=0.2 if single else 0.3)

    def shares(self, done: float) -> tuple[float, float]:
        """Of the highest rate: what all but the temporal layers learn with, and those.

        Before clips come it falls to two fifths; then all start high again, and end at zero.
        """
        stills = self.looks + self.where
        if done < stills:
            return 1 - 0.6 * done / stills, 0.0
        left = (1 - done) / (1 - stills)
        return left, left


def draw_times(count: int, lesson: Lesson, generator: torch.Generator) -> Tensor:
    """Timesteps: a share ``noisy`` behind more noise than `DECIDED`; of the rest three tenths anywhere, the
    others where shapes are decided.

    Behind much noise it is learnt from words where things may be, behind little the picture tells. Close-ups
    do not show where, so they are never behind much. Eight frames tell together what one alone hides: their
    shapes are decided behind more noise, and so is which of all ways a video goes.
    """
    middle, spread = (0.33, 0.15) if lesson.single else (0.5, 0.1)
    uniform = torch.rand(count, generator=generator)
    around = (middle + spread * torch.randn(count, generator=generator)).clamp(0.001, 0.999)
    times = torch.where(torch.rand(count, generator=generator) < 0.3, uniform, around)
    if lesson.close:
        times = torch.where(times > DECIDED, times / 2, times)
    high = DECIDED + (1 - DECIDED) * torch.rand(count, generator=generator)
    return (torch.where(torch.rand(count, generator=generator) < lesson.noisy, high, times) * 1000).long()


def around_subject(
    clean: Tensor, subject: Tensor, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A square of `side` cells of latents (B, C, 1, h, w) with most of the subject, and of `subject` too.

    Where several hold about as much of it, one is drawn.
    """
    mass = F.avg_pool2d(subject[:, :, 0], side, stride=1).flatten(1)
    likely = (mass >= 0.8 * mass.amax(1, keepdim=True)).float().cpu()
    chosen = torch.multinomial(likely, 1, generator=generator)[:, 0].tolist()
    spots = [divmod(spot, subject.shape[-1] - side + 1) for spot in chosen]

    def cut(whole: Tensor) -> Tensor:
        parts = [each[..., y : y + side, x : x + side] for each, (y, x) in zip(whole, spots, strict=True)]
        return torch.stack(parts)

    return cut(clean), cut(subject)
