"""A recipe as plain data: what is trained, on which objective, for how long; and the words for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from vmc_cli.errors import UsageError

MOTION, SUBJECT = "motion", "subject"
LEARNS = (MOTION, SUBJECT)
"""What can be learned: a motion from clips, or a subject from pictures; its card's ``kind`` too."""

LOSSES = ("residual-cosine", "residual-l2", "residual-cosine-abs", "mse", "debiased")
"""Names of the objectives; ``losses.LOSSES`` holds the functions."""

TIMESTEPS = ("uniform", "early")
"""How timesteps are drawn while learning; ``noise.DENSITIES`` holds the functions."""

NOISES = ("inverted", "blend", "low-frequency", "motion", "random")
"""What generation can start from; ``noise.start_noise`` makes it."""

DEFAULT_NOISE = "motion"
"""Start of a video that follows a motion, unless its method has another; without one it is random."""

UNSET: Mapping[str, str] = MappingProxyType({"rank": "full", "guidance": "own", "full_learning_rate": "same"})
"""What None is called, where a recipe may have it: whole weights, as much as the model likes best, and as for
low rank."""

LARGEST_RANK = 1024

COLOURINGS = 11
"""In which a recoloured clip is seen besides its own: how many `Clip.recoloured` gives."""

TURNED = (2, 3, 5, 8, 9)
"""Of these, those that a video may start from, too: hues turned by thirds, and the negatives of all three."""

MOST_STEPS = 1000
"""Of inverting and denoising: models know no more levels of noise."""

ADAPTERS = ("weights", "embedding")
"""How a method changes what it trains; `adapters.ADAPTERS` holds the classes."""

RESIZABLE = ("embedding",)
"""Of these, what a motion holds can be fitted to other numbers of frames and other sizes."""

BLOCKS = ("all", "outer", "widest")
"""Which blocks are trained: all; those on the way down and up; of these, those with most channels."""

VALUES = ("kept", "none", "difference")
"""What generation makes of a value embedding; `adapters.embedding.VALUES` holds the functions."""

_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_FEED_FORWARD = ("net.0.proj", "net.2")
_PROJECTIONS = ("proj_in", "proj_out")
ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "temporal-attention": _ATTENTION,
        "temporal-feed-forward": _FEED_FORWARD,
        "temporal-projection": _PROJECTIONS,
        "temporal-convolution": ("conv1.2", "conv2.3", "conv3.3", "conv4.3"),
        "temporal-input": (
            *(f"{attention}.{matrix}" for attention in ("attn1", "attn2") for matrix in _ATTENTION),
            *(f"ff.{matrix}" for matrix in _FEED_FORWARD),
            *_PROJECTIONS,
        ),
        "spatial-self-attention": _ATTENTION,
        "spatial-cross-attention": _ATTENTION,
        "spatial-feed-forward": _FEED_FORWARD,
        "spatial-convolution": ("conv1", "conv2"),
    }
)
"""What can be trained: the roles of `backbones.base.Site`, and the projections of each."""

EMBEDDED = ("temporal-attention/to_q", "temporal-attention/to_k", "temporal-attention/to_v")
"""What sees a motion embedding."""


@dataclass(frozen=True)
class Span:
    """A part of the way from noise to video: no more than ``since`` of the noising is left, but more than
    ``until``.
    """

    since: float = 1.0
    until: float = 0.0

    def holds(self, left: float) -> bool:
        """Whether the share ``left`` is in it; until 0 means to the end, and that included."""
        return left <= self.since and (left > self.until or not self.until)

    @classmethod
    def told(cls, recipe: Mapping[str, Any]) -> Span | None:
        """That of the recipe in a card, all along in those too old to tell; None if it cannot be one."""
        since, until = recipe.get("acts_from", cls.since), recipe.get("acts_until", cls.until)
        if {type(since), type(until)} - {int, float} or not 0 <= until < since <= 1:
            return None
        return cls(float(since), float(until))


ALL_ALONG = Span()

_KEYS = tuple(f"{role}/{projection}" for role, projections in ROLES.items() for projection in projections)


@dataclass(frozen=True)
class Adaptation:
    """The part of a recipe that decides what a motion's file holds, and how that acts on a network."""

    trains: tuple[str, ...]
    rank: int | None = None
    adapter: str = "weights"
    blocks: str = "all"
    values: str = "kept"
    trains_token: bool = False


@dataclass(frozen=True)
class Recipe:
    """One method. It goes into a motion's card word for word.

    ``learns`` is one of `LEARNS`; a subject needs no inversion, so its ``inversion_steps`` are 0. ``trains``
    names the layers as ``role/projection`` (``temporal-attention/to_q``); roles are those of
    ``backbones.base.Site``. ``rank`` None trains full weights; ``full_learning_rate`` is theirs, where that
    of low rank does not suit them (see `adjusted`). ``batch`` is how many clips (the same one may come again)
    are learned from in each step, which costs less than as many steps. ``stride`` is in frames. ``noise`` is
    what generation starts from by default, ``noise_of_several`` where that differs for several clips;
    ``guidance`` is what it is guided with, None for as much as the model likes best. ``kind`` is the kind of
    motion that a variant of the method is for. ``aside`` names spatial layers that learn the looks of each
    clip meanwhile, and are dropped. ``alpha`` shapes the density of early ``timesteps``;
    ``augmented`` is how many changed copies of each clip or picture are learned from too, and if
    ``recoloured`` each is also learned from in other colours; with ``actors`` it is not learned from itself,
    but from so many clips of things that the model knows, which go its way; pictures of a subject are videos
    of one frame, or if ``panned`` as long ones as the model makes, over which copies wander (of what stands
    still the neighbouring frames tell); what ``needs_token`` is learned as what a token stands for, and with
    ``trains_token`` the token's own vectors are learned as well; it learns, and acts, while no more than the
    share ``acts_from`` of the noising is left, and more than ``acts_until``; with
    ``early_stop`` learning stops when other subjects lose their looks.
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
    adapter: str = "weights"
    blocks: str = "all"
    values: str = "kept"
    noise: str = DEFAULT_NOISE
    noise_of_several: str = ""
    guidance: float | None = None
    kind: str = ""
    aside: tuple[str, ...] = ()
    alpha: float = 0.5
    augmented: int = 0
    recoloured: bool = False
    actors: int = 0
    panned: bool = False
    trains_token: bool = False
    acts_from: float = 1.0
    acts_until: float = 0.0
    learns: str = MOTION
    early_stop: bool = False
    needs_token: bool = False
    full_learning_rate: float | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        for what, chosen, known in (
            ("kind of learning", self.learns, LEARNS),
            ("loss", self.loss, LOSSES),
            ("distribution of timesteps", self.timesteps, TIMESTEPS),
            ("adapter", self.adapter, ADAPTERS),
            ("set of blocks", self.blocks, BLOCKS),
            ("use of values", self.values, VALUES),
            ("start noise", self.noise, NOISES),
            ("start noise", self.noise_of_several or self.noise, NOISES),
        ):
            if chosen not in known:
                raise UsageError(f"No {what} is called {chosen!r}.", f"Choose one of {', '.join(known)}.")
        if not self.trains:
            raise UsageError("The recipe trains nothing.", f"Name some of {', '.join(_KEYS)}.")
        if unknown := [key for key in (*self.trains, *self.aside) if key not in _KEYS]:
            raise UsageError(
                f"Nothing called {unknown[0]!r} can be trained.", f"There are {', '.join(_KEYS)}."
            )
        if temporal := [key for key in self.aside if not key.startswith("spatial-")]:
            raise UsageError(f"Looks are not learned by {temporal[0]}.", "Name spatial layers for aside.")
        if self.adapter == "embedding" and self.rank is not None:
            raise UsageError(f"The method {self.method} has no rank.", "Leave it out.")
        if self.adapter == "embedding" and self.aside:
            raise UsageError("Motion embeddings need no spatial paths.", "Leave out aside.")
        if self.adapter == "embedding" and set(self.trains) != set(EMBEDDED):
            raise UsageError("Embeddings are trained for queries, keys and values.", f"Name {EMBEDDED}.")
        if self.aside and self.batch > 1:
            raise UsageError("Each clip has spatial paths of its own.", "Use a batch of 1.")
        if self.learns == SUBJECT:
            self._check_subject()
        elif self.panned:
            raise UsageError("Pictures of a subject are panned; clips move.", "Leave out panned.")
        self._check_actors()
        self._check_numbers()

    def _check_actors(self) -> None:
        if self.actors < 0:
            raise UsageError(f"The number of actors must not be below 0: {self.actors}.")
        if self.actors and self.copies:
            raise UsageError(
                "Actors are learned from in place of the clip, and of copies of it.",
                "Leave out actors, or augmented and recoloured.",
            )

    def _check_subject(self) -> None:
        if seen := [key for key in self.trains if not key.startswith("spatial-")]:
            raise UsageError(f"Pictures do not move, so {seen[0]} learns nothing.", "Name spatial layers.")
        if self.early_stop:
            raise UsageError("A subject is learned without an early stop.", "Leave out --early-stop.")
        fixed = {
            "loss": "mse",
            "noise": "random",
            "inversion_steps": 0,
            "aside": (),
            "acts_until": 0.0,
            "actors": 0,
        }
        for key, only in fixed.items():
            if (chosen := getattr(self, key)) != only:
                what = f"{key.replace('_', ' ')} {chosen!r}"
                raise UsageError(f"Pictures do not move, so {what} is not for them.", f"Use {only!r}.")

    def _check_numbers(self) -> None:
        whole = (("steps", self.steps), ("stride", self.stride), ("batch", self.batch))
        inversion = self.inversion_steps + (self.learns == SUBJECT)
        for name, value in (
            *whole,
            ("inversion_steps", inversion),
            ("rank", 1 if self.rank is None else self.rank),
        ):
            if value < 1:
                raise UsageError(f"The {name.replace('_', ' ')} must be at least 1, not {value}.")
        for name, number in (
            ("learning rate", self.learning_rate),
            ("full learning rate", 1.0 if self.full_learning_rate is None else self.full_learning_rate),
            ("clip norm", self.clip_norm),
        ):
            if not 0 < number < math.inf:
                raise UsageError(f"The {name} must be above 0, not {number}.")
        if self.rank is not None and self.rank > LARGEST_RANK:
            raise UsageError(f"The rank must be at most {LARGEST_RANK}, not {self.rank}.")
        if self.inversion_steps > MOST_STEPS:
            raise UsageError(f"The inversion steps must be at most {MOST_STEPS}, not {self.inversion_steps}.")
        if self.augmented < 0:
            raise UsageError(f"The number of augmented copies must not be below 0: {self.augmented}.")
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"The alpha of early timesteps must be from 0 to 1, not {self.alpha}.")
        if not 0 <= self.acts_until < self.acts_from <= 1:
            told = f"from {self.acts_from:g} until {self.acts_until:g}"
            raise UsageError(f"Nothing acts {told} of the noising is left.", "Name shares from 1 down to 0.")
        if not 0 <= self.weight_decay < math.inf:
            raise UsageError(f"The weight decay must not be below 0, nor {self.weight_decay}.")
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise UsageError(f"The guidance must be a finite number, not {self.guidance}.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"The betas must be from 0 up to, but not, 1: {self.betas}.")

    @property
    def adaptation(self) -> Adaptation:
        """What the motion's file is going to hold."""
        return Adaptation(self.trains, self.rank, self.adapter, self.blocks, self.values, self.trains_token)

    @property
    def span(self) -> Span:
        """Where it learns and acts."""
        return Span(self.acts_from, self.acts_until)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the layers trained, each once, in order."""
        return tuple(dict.fromkeys(entry.partition("/")[0] for entry in self.trains))

    @property
    def turned(self) -> tuple[int, ...]:
        """Which of its recoloured clips are inverted besides each clip (see `Clip.recoloured`)."""
        return TURNED if self.recoloured else ()

    @property
    def copies(self) -> int:
        """How many changed ones of each clip are learned from."""
        return self.augmented + COLOURINGS * self.recoloured

    @property
    def examples(self) -> int:
        """How many are learned from for each clip."""
        return self.actors or 1 + self.copies

    def noise_for(self, clips: int) -> str:
        """What generation starts from by default when so many clips were learned."""
        return (self.noise_of_several if clips > 1 else "") or self.noise

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
        """This recipe with some numbers replaced (a backbone's, then the user's).

        Full weights in place of low rank are learned at their own rate, unless ``changes`` tell another.
        """
        to_full = self.rank is not None and changes.get("rank", self.rank) is None
        if to_full and self.full_learning_rate is not None:
            changes = {"learning_rate": self.full_learning_rate, **changes}
        return replace(self, **changes)
