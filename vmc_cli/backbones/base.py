"""What every family of video models promises, whatever its network, its noise schedule and its codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vmc_cli.backbones import Spec, blueprint
from vmc_cli.errors import IncompatibleError, UsageError

CLEAN = -1
"""In place of a timestep: no noise left."""


@dataclass(frozen=True)
class Site:
    """One matrix (or convolution) where something can be trained.

    ``role`` is one of `recipe.ROLES`, ``projection`` says which matrix of it ("to_q"). "temporal-projection"
    is what leads into a temporal transformer and out again; "temporal-input" is all of the one that some
    networks have before their blocks.
    ``name`` is the module's path in the network, ``channels`` the width of the block that it sits in.
    ``section`` says whether that lies on the way "down" or "up", in the "mid" or before all blocks ("in"),
    and ``scale`` how many times coarser its grid is than that of the latents (rounded up where it does not
    divide).
    """

    name: str
    role: str
    projection: str
    layer: nn.Module
    channels: int
    section: str = "mid"
    scale: int = 1

    @property
    def key(self) -> str:
        """As recipes name it: ``role/projection``."""
        return f"{self.role}/{self.projection}"

    @property
    def block(self) -> str:
        """Path of the block: for an attention's matrix, what holds the attention and its siblings."""
        return self.name.removesuffix(f".{self.projection}").rpartition(".")[0]


class Schedule:
    """How a clean video, noise and the network's prediction hang together at each timestep.

    With x the noisy latents, every supported parametrisation is linear: ``x = signal*clean + noise*eps`` and
    ``prediction = of_clean*clean + of_eps*eps``. Coefficients are float64 on the CPU, indexed by timestep;
    one more entry, at `CLEAN`, is the clean end that the last step of sampling goes to.
    """

    def __init__(self, alphas_cumprod: Tensor, final_alpha_cumprod: Tensor, prediction_type: str) -> None:
        alphas = torch.cat([alphas_cumprod.double(), final_alpha_cumprod.double().reshape(1)])
        self.train_timesteps = len(alphas) - 1
        self.signal, self.noise = alphas.sqrt(), (1 - alphas).sqrt()
        zero, one = torch.zeros_like(alphas), torch.ones_like(alphas)
        if prediction_type == "epsilon":
            self.of_clean, self.of_eps = zero, one
        elif prediction_type == "v_prediction":
            self.of_clean, self.of_eps = -self.noise, self.signal
        else:
            raise IncompatibleError(f"Models that predict {prediction_type!r} are not supported.")
        self._determinant = self.signal * self.of_eps - self.noise * self.of_clean
        if not (self._determinant[:-1] > 0).all():
            raise IncompatibleError("The model predicts noise, but its schedule ends in nothing but noise.")

    def grid(self, steps: int) -> list[int]:
        """Timesteps from pure noise to clean, evenly spaced, the last timestep first whatever ``steps`` is.

        So noise inverted with one number of steps is where sampling with any other number begins ("trailing"
        spacing, arXiv 2305.08891).
        """
        if not 1 <= steps <= self.train_timesteps:
            raise UsageError(f"The number of steps must be from 1 to {self.train_timesteps}, not {steps}.")
        return [round(self.train_timesteps * (steps - i) / steps) - 1 for i in range(steps)]

    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``latents`` (B, C, F, h, w) with ``noise`` mixed in as at timesteps ``t`` (B,)."""
        return _like(self.signal[t], latents) * latents + _like(self.noise[t], latents) * noise

    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network should predict for `noised`."""
        return _like(self.of_clean[t], latents) * latents + _like(self.of_eps[t], latents) * noise

    def weight(self, t: Tensor) -> Tensor:
        """Squared error in the clean video per squared error of the prediction, (B,).

        For noise prediction it is (1 - abar) / abar, the weight of VMC's eq. 16.
        """
        return (self.noise[t] / self._determinant[t]).square().float()

    def transfer(self, t: int, to: int) -> tuple[float, float]:
        """(a, b) such that ``x_to = a * x_t + b * prediction``, where the prediction was made for ``t``.

        This is DDIM without randomness (arXiv 2010.02502, eq. 12). Solved for ``x_t`` it is DDIM inversion.
        """
        scale, share, _ = self.renewal(t, to, 0.0)
        return scale, share

    def renewal(self, t: int, to: int, eta: float) -> tuple[float, float, float]:
        """As `transfer`, with (a, b, c): ``c`` times fresh noise takes the place of some of the old.

        How much is up to ``eta`` (arXiv 2010.02502, eq. 16): 0 for none, 1 for as much as DDPM takes.
        """
        fresh, kept = self._renewed(t, to, eta)
        clean = self.signal[to] * self.of_eps[t] - kept * self.of_clean[t]
        mixed = kept * self.signal[t] - self.signal[to] * self.noise[t]
        return float(clean / self._determinant[t]), float(mixed / self._determinant[t]), float(fresh)

    def clean(self, noisy: Tensor, prediction: Tensor, t: int) -> Tensor:
        """The clean video that a ``prediction`` at ``t`` says is behind ``noisy``."""
        of_noisy, of_prediction = self.of_eps[t] / self._determinant[t], self.noise[t] / self._determinant[t]
        return float(of_noisy) * noisy - float(of_prediction) * prediction

    def bend(self, before: int, t: int, to: int, eta: float) -> float:
        """How much of the change of `clean` since ``before`` is added to `renewal` for the second order.

        The clean video is taken to go on as it did, as a function of the logarithm of signal to noise:
        DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2), with ``eta`` 1 its stochastic form. 0 where the end
        is without noise.
        """
        if self.noise[to] == 0:
            return 0.0
        earlier, now, then = (torch.log(self.signal[s] / self.noise[s]) for s in (before, t, to))
        _, kept = self._renewed(t, to, eta)
        whole = self.signal[to] - kept * self.signal[t] / self.noise[t]
        return float(whole * (then - now) / (now - earlier) / 2)

    def _renewed(self, t: int, to: int, eta: float) -> tuple[Tensor, Tensor]:
        """Of the noise at ``to``: how much is fresh, and how much is kept."""
        gone = (1 - (self.signal[t] / self.signal[to]).square()).clamp_min(0).sqrt()
        fresh = eta * gone * self.noise[to] / self.noise[t]
        return fresh, (self.noise[to].square() - fresh.square()).clamp_min(0).sqrt()


def _like(values: Tensor, latents: Tensor) -> Tensor:
    return values.to(latents.device, latents.dtype).reshape(-1, *[1] * (latents.ndim - 1))


class Backbone(ABC):
    """A pretrained text-to-video model, frozen and in evaluation mode.

    ``dtype`` is the format of its weights; latents, embeddings and predictions are float32 on ``device``.
    ``latent_shape`` is (C, F, h, w).
    """

    spec: Spec
    revision: str
    network: nn.Module
    schedule: Schedule
    device: torch.device
    dtype: torch.dtype
    latent_shape: tuple[int, int, int, int]

    @property
    def frames(self) -> int:
        """Frames of a video."""
        return self.spec.frames

    @property
    def height(self) -> int:
        """Height of a video in pixels."""
        return self.spec.height

    @property
    def width(self) -> int:
        """Width of a video in pixels."""
        return self.spec.width

    @abstractmethod
    def encode(self, frames: np.ndarray[Any, Any]) -> Tensor:
        """Frames (F, H, W, 3) uint8 to latents (1, C, F, h, w), the same ones every time."""

    @abstractmethod
    def decode(self, latents: Tensor) -> np.ndarray[Any, Any]:
        """Latents (1, C, F, h, w) to frames (F, H, W, 3) uint8."""

    @abstractmethod
    def embed(self, prompts: Sequence[str]) -> Tensor:
        """Prompts to embeddings (B, L, D)."""

    def word_vectors(self, word: str) -> Tensor:
        """What stands for ``word`` before the text encoder reads it in context: (n, D), one for each piece.

        Raises `IncompatibleError` where words cannot be learned, or the word is nothing to the model.
        """
        raise IncompatibleError(
            f"The backbone {self.spec.name} cannot learn words.", "Leave out --train-token."
        )

    def embed_with(self, prompts: Sequence[str], vectors: Mapping[str, Tensor]) -> Tensor:
        """As `embed`, with other `word_vectors` for some words, more or fewer; gradients reach them."""
        raise IncompatibleError(f"The backbone {self.spec.name} cannot learn words.")

    @abstractmethod
    def predict(self, latents: Tensor, t: Tensor | int, embedding: Tensor) -> Tensor:
        """What the network makes of noisy latents (B, C, F, h, w) at ``t`` (B,): see `target`."""

    @abstractmethod
    def attend_by(self, asked: str) -> str:
        """Compute attention by "xformers" or "sdpa", or by what suits the device ("auto"); tells by what.

        Raises `UsageError` when xformers was asked for and is not here.
        """

    @abstractmethod
    def attend_as_on(self, device: torch.device) -> None:
        """Compute attention without numbers (see `backbones.blueprint`) as it is computed on ``device``."""

    @abstractmethod
    def listening(self) -> AbstractContextManager[None]:
        """Keep the text encoder on the device while inside, between calls of `embed` and for gradients.

        Otherwise it comes for each call.
        """

    @abstractmethod
    def offloaded(self) -> AbstractContextManager[None]:
        """Keep the network off the device while inside, but for the part that is computing.

        For `predict` without gradients. What changes its weights has to be entered, and left, inside.
        """

    @abstractmethod
    def compiled(self) -> AbstractContextManager[None]:
        """Compute by code that is made for this network and this machine while inside, which takes a while.

        For `predict` without gradients; to be entered last of all that changes the network. There it raises
        `IncompatibleError` where no such code can be made.
        """

    @cached_property
    def blueprint(self) -> Any:
        """The same without weights, to count what it costs: see `backbones.blueprint`."""
        return blueprint(self.spec, self.device, self.dtype)

    @property
    def is_resident(self) -> bool:
        """Whether the network is on the device: it is after loading if that has room for it."""
        return next(self.network.parameters()).device.type == self.device.type

    @abstractmethod
    def _find_sites(self) -> list[Site]: ...

    def noised(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """See `Schedule.noised`."""
        return self.schedule.noised(latents, noise, t)

    def target(self, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """See `Schedule.target`. It has the parametrisation of `predict`, so a loss never knows which."""
        return self.schedule.target(latents, noise, t)

    def sites(self) -> list[Site]:
        """Every place where something can be trained, in the network's order."""
        return self._sites

    @cached_property
    def _sites(self) -> list[Site]:
        return self._find_sites()

    def sites_for(self, trains: Sequence[str], blocks: str = "all") -> list[Site]:
        """The sites that a recipe's ``trains`` names, in those ``blocks`` (see `recipe.BLOCKS`).

        Raises `IncompatibleError` if an entry has none.
        """
        sites = self.sites()
        if blocks != "all":
            sites = [site for site in sites if site.section in ("down", "up")]
        if missing := set(trains) - {site.key for site in sites}:
            raise IncompatibleError(f"The backbone {self.spec.name} has no {min(missing)} to train.")
        found = [site for site in sites if site.key in trains]
        widest = max(site.channels for site in found) if blocks == "widest" else 0
        return [site for site in found if site.channels >= widest]
