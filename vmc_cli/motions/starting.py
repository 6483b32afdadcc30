"""What noise a video starts from: of which clip, and of which of its colourings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vmc_cli import device
from vmc_cli.adapters import Acts
from vmc_cli.backbones.base import Backbone
from vmc_cli.noise import start_noise
from vmc_cli.recipe import Recipe

COMPARED = 0.9
"""Of the noising, where prompts are compared with colourings: there little but the words tells of looks."""

_DRAWN = 0x10AD_0000  # changes a seed: what is drawn from the seed itself is the start noise


def own_colours(number: int) -> int:
    """Of each clip, the clip as it is."""
    return 0


def start_of(
    backbone: Backbone,
    noise: str,
    inverted: Tensor | None,
    seed: int,
    colouring: Callable[[int], int] = own_colours,
) -> Tensor:
    """The start noise of one video, (1, C, F, h, w), made from ``inverted`` (K, N, C, F, h, w).

    The seed chooses one of the K clips, and ``colouring``, given its number, one of the N of that.
    """
    generator = device.generator(seed)
    random = torch.randn(1, *backbone.latent_shape, generator=generator)
    if inverted is None or noise == "random":
        return start_noise(noise, None, random)
    number = int(torch.randint(len(inverted), (1,), generator=generator))
    return start_noise(noise, inverted[number, colouring(number)][None].float(), random)


@torch.no_grad()
def best_explained(
    backbone: Backbone, latents: Tensor, embedding: Tensor, *, seed: int, acts: Acts, together: bool
) -> int:
    """Which of ``latents`` (N, C, F, h, w) is predicted with the least error for ``embedding`` (1, L, D).

    They are noised to `COMPARED`, all alike. Two are predicted at once if ``together``.
    """
    generator = device.generator(seed ^ _DRAWN)
    latents, told = latents.to(backbone.device, torch.float32), embedding.to(backbone.device)
    drawn = torch.randn(1, *latents.shape[1:], generator=generator).to(latents.device)
    t = torch.tensor([round(COMPARED * backbone.schedule.train_timesteps)])
    errors = []
    with acts(COMPARED):
        for clean in latents.split(2 if together else 1):
            noise = drawn.expand_as(clean)
            noisy = backbone.noised(clean, noise, t)
            predicted = backbone.predict(noisy, t, told.expand(len(clean), -1, -1))
            wanted = backbone.target(clean, noise, t)
            errors.append((predicted.float() - wanted).square().mean(dim=(1, 2, 3, 4)))
    return int(torch.cat(errors).argmin())


def comparisons(recipe: Recipe) -> int:
    """How many predictions it takes to choose among the colourings of a motion learned by ``recipe``."""
    return 1 + len(recipe.turned) if recipe.turned else 0
