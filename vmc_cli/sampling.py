"""The one denoising loop, forwards (noise to video) and backwards (video to noise)."""

from __future__ import annotations

import torch
from torch import Tensor

from vmc_cli import device
from vmc_cli.adapters import Acts, all_along
from vmc_cli.backbones.base import CLEAN, Backbone
from vmc_cli.course import Course
from vmc_cli.errors import Diverged
from vmc_cli.watching import Unwatched, Watcher

SETTLED = 0.35
"""Of the noising: above it is decided what moves where, and fresh noise would undo a motion's own."""

_FRESH = 0x5EED_0000  # changes a seed: what is drawn from the seed itself is the start noise


@torch.no_grad()
def sample(
    backbone: Backbone,
    embedding: Tensor,
    start: Tensor,
    *,
    course: Course,
    negative_embedding: Tensor | None,
    together: bool = True,
    seed: int = 0,
    acts: Acts = all_along,
    progress: Watcher | None = None,
) -> Tensor:
    """Denoise ``start`` (1, C, F, h, w) into the latents of a video for ``embedding`` (1, L, D).

    The solver "ddim" takes the predicted video for what it is at each step, "dpm++" for what it is becoming
    (`Schedule.bend`), which gets as far in fewer steps.
    ``guidance`` scales the step from the prediction for ``negative_embedding`` to that for ``embedding``
    (classifier-free guidance), while the share of the noising that is left is from ``guide_until`` to
    ``guide_from``; above that ``still_guidance`` scales what the frames share of it, their mean, and nothing
    scales what differs between them. With 1 there is none, nor without ``negative_embedding``, and steps take
    half the time.
    Unless ``together``, the two are computed one after the other, in half the memory.
    With ``eta`` above 0, fresh noise by ``seed`` replaces some of the old (`Schedule.renewal`) from `SETTLED`
    on, so that a network's errors do not add up. At each step what changes the network acts as ``acts`` lets
    it.

    Raises:
        Diverged: the latents are not finite.
    """
    progress = progress or Unwatched()
    latents = start.to(backbone.device, torch.float32)
    generator = device.generator(seed ^ _FRESH)
    progress.stage("Generating", course.steps)
    schedule, before = backbone.schedule, None
    for t, to in _transitions(backbone, course.steps):
        left = t / schedule.train_timesteps
        scale, still = course.scales(left)
        negative = None if scale == still == 1 else negative_embedding
        with acts(left):
            prediction = guided(
                backbone, latents, t, embedding, negative, scale=scale, still=still, together=together
            )
        eta = course.eta if left <= SETTLED else 0.0
        kept, share, fresh = schedule.renewal(t, to, eta)
        clean = schedule.clean(latents, prediction, t)
        latents = kept * latents + share * prediction
        if course.solver == "dpm++" and before:
            latents = latents + schedule.bend(before[0], t, to, eta) * (clean - before[1])
        before = t, clean
        if fresh:
            latents = latents + fresh * torch.randn(latents.shape, generator=generator).to(latents.device)
        progress.step()
    return _finite(latents)


def guided(
    backbone: Backbone,
    latents: Tensor,
    t: int,
    embedding: Tensor,
    negative_embedding: Tensor | None,
    *,
    scale: float,
    still: float | None = None,
    together: bool,
) -> Tensor:
    """The prediction for ``embedding``; with a negative one, ``scale`` times as far from that one's.

    What the frames share of the way from there, their mean, is ``still`` times as far, if that is given.
    """
    if negative_embedding is None:
        return backbone.predict(latents, t, embedding.to(backbone.device))
    context = torch.cat([negative_embedding, embedding]).to(backbone.device)
    parts = [context] if together else context.split(1)
    predicted = [backbone.predict(latents.expand(len(part), *latents.shape[1:]), t, part) for part in parts]
    without, towards = torch.cat(predicted).chunk(2)
    way = towards - without
    if still is None or still == scale:
        return without + scale * way
    shared = way.mean(2, keepdim=True)
    return without + scale * (way - shared) + still * shared


@torch.no_grad()
def invert(backbone: Backbone, latents: Tensor, *, steps: int, progress: Watcher | None = None) -> Tensor:
    """The noise that `sample` would turn into each of ``latents`` (B, C, F, h, w), about: DDIM inversion.

    Each step undoes one of the sampler's, on the sampler's timesteps, with the prediction made at its cleaner
    end; without prompt or guidance. Raises as `sample` does.
    """
    progress = progress or Unwatched()
    context = backbone.embed([""]).expand(len(latents), -1, -1)
    latents = latents.to(backbone.device, torch.float32)
    progress.stage("Inverting", steps)
    for t, to in reversed(_transitions(backbone, steps)):
        prediction = backbone.predict(latents, t, context)
        scale, share = backbone.schedule.transfer(t, to)
        latents = (latents - share * prediction) / scale
        progress.step()
    return _finite(latents)


def _transitions(backbone: Backbone, steps: int) -> list[tuple[int, int]]:
    """The sampler's steps: from each timestep to the next, the last to the clean end."""
    grid = backbone.schedule.grid(steps)
    return list(zip(grid, [*grid[1:], CLEAN], strict=True))


def _finite(latents: Tensor) -> Tensor:
    if not latents.isfinite().all():
        raise Diverged("The video left the finite numbers.", "Try a lower --guidance or --strength.")
    return latents
