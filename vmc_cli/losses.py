"""Objectives as plain functions of tensors.

Every function takes what the network predicted and what it should have predicted, both ``(B, C, F, h, w)`` in
the backbone's own parametrisation, and returns a scalar in float32. ``stride`` is the distance of the two
frames of a pair; ``weight`` is how strongly an error of a prediction shows in the clean video, ``(B,)``;
``generator`` draws what an objective leaves to chance, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from vmc_cli.errors import UsageError

Loss = Callable[[Tensor, Tensor, int, Tensor, Generator | None], Tensor]

BETA = 1.0  # how far from the anchor frame (MotionDirector)


def residual_cosine(
    prediction: Tensor, target: Tensor, stride: int, weight: Tensor, generator: Generator | None = None
) -> Tensor:
    """One minus the cosine of the frame residuals, each a vector of ``C*h*w`` (VMC eq. 17).

    Signed: 0 for a perfect prediction, 2 for one that points the other way.
    """
    return (1 - F.cosine_similarity(_residual(prediction, stride), _residual(target, stride), dim=-1)).mean()


def residual_l2(
    prediction: Tensor, target: Tensor, stride: int, weight: Tensor, generator: Generator | None = None
) -> Tensor:
    """Weighted squared distance of the frame residuals (VMC eq. 16), averaged over their ``C*h*w`` entries.

    The equation sums over the entries; the mean differs by that constant and keeps the gradient near the norm
    at which it is clipped.
    """
    distance = (_residual(target, stride) - _residual(prediction, stride)).square().mean(dim=(1, 2))
    return (weight * distance).mean()


def residual_cosine_abs(
    prediction: Tensor, target: Tensor, stride: int, weight: Tensor, generator: Generator | None = None
) -> Tensor:
    """The form in VMC's released code: sizes of the residuals, compared along the frames at every pixel.

    A prediction of the wrong sign scores 0, so values do not compare with `residual_cosine`.
    """
    predicted, wanted = _residual(prediction, stride).abs(), _residual(target, stride).abs()
    return (1 - F.cosine_similarity(predicted, wanted, dim=1)).mean()


def mse(
    prediction: Tensor, target: Tensor, stride: int, weight: Tensor, generator: Generator | None = None
) -> Tensor:
    """The plain objective of diffusion, over whole frames."""
    return F.mse_loss(prediction.float(), target.float())


def debiased(
    prediction: Tensor, target: Tensor, stride: int, weight: Tensor, generator: Generator | None = None
) -> Tensor:
    """Plain objective plus the same on `away_from_anchor`, seen from one random frame (MotionDirector).

    So the looks that all frames share count less. Motion Inversion's eq. 4 and 5 are the same.
    """
    anchor = int(torch.randint(target.shape[2], (1,), generator=generator))
    away = F.mse_loss(away_from_anchor(prediction.float(), anchor), away_from_anchor(target.float(), anchor))
    return F.mse_loss(prediction.float(), target.float()) + away


def away_from_anchor(video: Tensor, anchor: int) -> Tensor:
    """phi(e_i) = sqrt(beta^2 + 1) e_i - beta e_anchor for each frame, (B, C, F, h, w).

    The form in MotionDirector's paper; Motion Inversion prints eq. 3 with the root over too much.
    """
    return (BETA**2 + 1) ** 0.5 * video - BETA * video[:, :, anchor : anchor + 1]


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "residual-cosine": residual_cosine,
        "residual-l2": residual_l2,
        "residual-cosine-abs": residual_cosine_abs,
        "mse": mse,
        "debiased": debiased,
    }
)


def _residual(video: Tensor, stride: int) -> Tensor:
    """Differences of frames ``stride`` apart: (B, C, F, h, w) -> (B, F - stride, C*h*w)."""
    if not 1 <= stride < video.shape[2]:
        raise UsageError(
            f"A stride of {stride} does not fit into {video.shape[2]} frames.",
            f"Choose a stride from 1 to {video.shape[2] - 1}.",
        )
    frames = video.float().transpose(1, 2).flatten(2)
    return frames[:, stride:] - frames[:, :-stride]
