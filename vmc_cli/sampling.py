"""The one denoising loop, forwards (noise to video) and backwards (video to noise)."""

from __future__ import annotations

import torch
from torch import Tensor

from vmc_cli import device
from vmc_cli.backbones.base import CLEAN, Backbone
from vmc_cli.errors import Diverged
from vmc_cli.watching import Unwatched, Watcher

SETTLED = 0.5
"""Of the noising: above it is decided what moves where, and fresh noise would undo a motion's own."""

_FRESH = 0x5EED_0000  # changes a seed: what is drawn from the seed itself is the start noise


@torch.no_grad()
def sample(
    backbone: Backbone,
    embedding: Tensor,
    start: Tensor,
    *,
    steps: int,
    guidance: float | None,
    negative_embedding: Tensor | None,
    together: bool = True,
    eta: float = 0.0,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Tensor:
    """Denoise ``start`` (1, C, F, h, w) into the latents of a video for ``embedding`` (1, L, D), by DDIM.

    ``guidance`` scales the step from the prediction for ``negative_embedding`` to that for ``embedding``
    (classifier-free guidance). With 1 or None there is none, nor without ``negative_embedding``, and steps
    take half the time. Unless ``together``, the two are computed one after the other, in half the memory.
    With ``eta`` above 0, fresh noise by ``seed`` replaces some of the old (`Schedule.renewal`) from `SETTLED`
    on, so that a network's errors do not add up.

    Raises:
        Diverged: the latents are not finite.
    """
    progress = progress or Unwatched()
    if guidance is None or guidance == 1:
        negative_embedding = None
    latents = start.to(backbone.device, torch.float32)
    generator = device.generator(seed ^ _FRESH)
    progress.stage("Generating", steps)
    for t, to in _transitions(backbone, steps):
        prediction = guided(
            backbone,
            latents,
            t,
            embedding,
            negative_embedding,
            scale=1.0 if guidance is None else guidance,
            together=together,
        )
        settled = t <= SETTLED * backbone.schedule.train_timesteps
        scale, share, fresh = backbone.schedule.renewal(t, to, eta if settled else 0.0)
        latents = scale * latents + share * prediction
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
    together: bool,
) -> Tensor:
    """The prediction for ``embedding``; with a negative one, ``scale`` times as far from that one's."""
    if negative_embedding is None:
        return backbone.predict(latents, t, embedding.to(backbone.device))
    context = torch.cat([negative_embedding, embedding]).to(backbone.device)
    parts = [context] if together else context.split(1)
    predicted = [backbone.predict(latents.expand(len(part), *latents.shape[1:]), t, part) for part in parts]
    without, towards = torch.cat(predicted).chunk(2)
    return without + scale * (towards - without)


@torch.no_grad()
def invert(backbone: Backbone, latents: Tensor, *, steps: int, progress: Watcher | None = None) -> Tensor:
    """The noise (1, C, F, h, w) that `sample` would turn into ``latents``, about: DDIM inversion.

    Each step undoes one of the sampler's, on the sampler's timesteps, with the prediction made at its cleaner
    end; without prompt or guidance. Raises as `sample` does.
    """
    progress = progress or Unwatched()
    context = backbone.embed([""])
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
