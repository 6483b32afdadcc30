"""Methods as plain data: what is trained, on which objective, for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from vmc_cli.errors import UsageError

LOSSES = ("residual-cosine", "residual-l2", "residual-cosine-abs", "mse")
"""Names of the objectives; ``losses.LOSSES`` holds the functions."""

NOISES = ("inverted", "blend", "low-frequency", "motion", "random")
"""What generation can start from; ``noise.start_noise`` makes it."""

DEFAULT_NOISE = "motion"
"""Start of a video that follows a motion; without a motion it is random noise."""

SAMPLING_STEPS = 50
"""Denoising steps of a video by default."""

GUIDANCE = 7.5
"""How far from the negative prompt by default."""


@dataclass(frozen=True)
class Recipe:
    """One method. It goes into a motion's card word for word.

    ``trains`` names the layers as ``role/projection`` (``temporal-attention/to_q``); roles are those of
    ``backbones.base.Site``. ``rank`` None trains full weights. ``stride`` is in frames.
    """

    method: str
    paper: str
    trains: tuple[str, ...]
    rank: int | None
    loss: str
    stride: int
    learning_rate: float
    weight_decay: float
    betas: tuple[float, float]
    clip_norm: float
    steps: int
    inversion_steps: int
    timesteps: str = "uniform"
    invariant_prompt: bool = True

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError(f"No loss is called {self.loss!r}.", f"Choose one of {', '.join(LOSSES)}.")
        whole = (("steps", self.steps), ("inversion_steps", self.inversion_steps), ("stride", self.stride))
        for name, value in (*whole, ("rank", 1 if self.rank is None else self.rank)):
            if value < 1:
                raise UsageError(f"The {name.replace('_', ' ')} must be at least 1, not {value}.")
        if not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"The learning rate must be above 0, not {self.learning_rate}.")

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the layers trained, each once, in order."""
        return tuple(dict.fromkeys(entry.partition("/")[0] for entry in self.trains))

    def to_card(self) -> dict[str, Any]:
        """As JSON-ready values: tuples become lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_card`. Unknown keys are ignored; a missing one raises `UsageError`."""
        names = {field.name for field in fields(cls)}
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names
        }
        try:
            return cls(**known)
        except TypeError as error:
            raise UsageError("The recipe is not complete.", str(error)) from error

    def adjusted(self, changes: Mapping[str, Any]) -> Recipe:
        """This recipe with some numbers replaced (a backbone's, then the user's)."""
        return replace(self, **changes)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "vmc": Recipe(
            method="vmc",
            paper="Jeong, Park, Ye: VMC, CVPR 2024 (arXiv 2312.00845)",
            trains=("temporal-attention/to_q", "temporal-attention/to_k", "temporal-attention/to_v"),
            rank=16,
            loss="residual-cosine",
            stride=1,
            learning_rate=1e-4,
            weight_decay=0.01,
            betas=(0.9, 0.999),
            clip_norm=1.0,
            steps=400,
            inversion_steps=75,
        ),
    }
)
