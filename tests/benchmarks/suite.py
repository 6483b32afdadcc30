"""What the method bench asks: motions that the embedded model was never taught, prompts, rows to compare."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import cos, pi, sin
from typing import Any

from vmc_cli.backbones.sprites import drawing, world
from vmc_cli.clip import Clip
from vmc_cli.course import SOLVERS
from vmc_cli.recipes import RECIPES

N = world.FRAMES
Way = tuple[tuple[float, float], ...]


TARGETS: tuple[tuple[str, str], ...] = (("penguin", "desert"), ("airplane", "sky"), ("tiger", "forest"))
"""Who is to move in the same way, and where."""


@dataclass(frozen=True)
class Motion:
    """A clip to learn: a sprite that the model never saw on a way that it was never taught."""

    subject: str
    place: str
    verb: str
    way: Way
    scales: tuple[float, ...] = (1.0,) * N
    angles: tuple[float, ...] = (0.0,) * N
    targets: tuple[tuple[str, str], ...] = TARGETS

    @property
    def prompt(self) -> str:
        return f"{world.indefinite(self.subject)} is {self.verb} {world.PLACES[self.place][0]}"

    def clip(self) -> Clip:
        return self._drawn(self.subject, self.place, 11)

    def cast(self, count: int) -> list[str]:
        """Sprites that the model never saw, the motion's own first."""
        others = [name for name in world.STRANGERS if name != self.subject]
        first = list(world.STRANGERS).index(self.subject)
        return [self.subject, *(others[(first + 5 * i) % len(others)] for i in range(count - 1))]

    def clips(self, count: int) -> list[Clip]:
        """The same way of so many sprites, in several places."""
        places = list(world.PLACES)
        first = places.index(self.place)
        return [
            self.clip(),
            *(
                self._drawn(subject, places[(first + 5 * i) % len(places)], 20 + i)
                for i, subject in enumerate(self.cast(count)[1:], start=1)
            ),
        ]

    def _drawn(self, subject: str, place: str, variant: int) -> Clip:
        actor = world.actor(subject, self.way, 0.4, scales=self.scales, angles=self.angles)
        return Clip(drawing.render(world.Scene(place, variant, (actor,))), world.FPS)


def _way(x: Any, y: Any) -> Way:
    """Coordinates as functions of the time from 0 to 1."""
    return tuple((x(i / (N - 1)), y(i / (N - 1))) for i in range(N))


def _turn(share: float) -> float:
    return 2 * pi * share * (N - 1) / N


SUITE: Mapping[str, Motion] = {
    "circle": Motion(
        "ladybug", "grass", "circling",
        _way(lambda u: 0.5 + 0.24 * cos(_turn(u)), lambda u: 0.5 + 0.24 * sin(_turn(u))),
    ),
    "zigzag": Motion(
        "robot", "city", "zigzagging",
        tuple((0.22 + 0.08 * i, 0.66 if i % 4 in (0, 3) else 0.34) for i in range(N)),
    ),
    "bounce": Motion(
        "apple", "snow", "bouncing",
        _way(lambda u: 0.22 + 0.56 * u, lambda u: 0.74 - 0.44 * abs(sin(2 * pi * u))),
    ),
    "to-and-fro": Motion(
        "taxi", "beach", "going to and fro",
        _way(lambda u: 0.5 - 0.27 * cos(2 * pi * u), lambda u: 0.55),
    ),
    "figure eight": Motion(
        "bird", "sky", "flying in a figure eight",
        _way(lambda u: 0.5 + 0.28 * sin(_turn(u)), lambda u: 0.5 + 0.22 * sin(2 * _turn(u))),
    ),
    "spiral": Motion(
        "flower", "forest", "spiralling",
        _way(
            lambda u: 0.5 + (0.08 + 0.2 * u) * cos(1.3 * _turn(u)),
            lambda u: 0.5 + (0.08 + 0.2 * u) * sin(1.3 * _turn(u)),
        ),
    ),
    "stop-and-go": Motion(
        "turtle", "desert", "stopping and going",
        tuple((0.24 + 0.13 * step, 0.6) for step in (0, 1, 2, 2, 2, 3, 4, 4)),
    ),
    "shake": Motion(
        "ufo", "space", "shaking",
        tuple((0.5 + 0.1 * (-1) ** i, 0.5) for i in range(N)),
    ),
    "turn and rise": Motion(
        "mushroom", "volcano", "tumbling upward",
        _way(lambda u: 0.5, lambda u: 0.74 - 0.46 * u), angles=tuple(2 * pi * i / N for i in range(N)),
    ),
    "swell and drift": Motion(
        "swan", "sea", "swelling and drifting",
        _way(lambda u: 0.3 + 0.4 * u, lambda u: 0.5),
        scales=tuple(1 - 0.35 * sin(2 * pi * i / (N - 1)) for i in range(N)),
    ),
}  # fmt: skip


def _circle(rng: random.Random) -> Way:
    radius, start, sense = rng.uniform(0.17, 0.26), rng.uniform(0, 2 * pi), rng.choice((-1, 1))
    x, y = (rng.uniform(0.22 + radius, 0.78 - radius) for _ in range(2))
    return _way(
        lambda u: x + radius * cos(start + sense * _turn(u)),
        lambda u: y + radius * sin(start + sense * _turn(u)),
    )


def _zigzag(rng: random.Random) -> Way:
    reach, middle = rng.uniform(0.11, 0.17), rng.uniform(0.42, 0.58)
    corners = rng.choice(((-1, 1, 1, -1), (-1, 0, 1, 0), (-1, 1)))
    first, forth, upright = rng.randrange(len(corners)), rng.choice((-1, 1)), rng.random() < 0.5
    span = forth * rng.uniform(0.5, 0.56)
    along = [0.5 + span * (i / (N - 1) - 0.5) for i in range(N)]
    across = [middle + reach * corners[(first + i) % len(corners)] for i in range(N)]
    return tuple(zip(across, along, strict=True) if upright else zip(along, across, strict=True))


def _unseen(shape: str, number: int) -> Motion:
    """A random circle or zigzag of a random sprite, for random others."""
    rng = random.Random(f"{shape} {number}")
    way, verb = (_circle(rng), "circling") if shape == "circle" else (_zigzag(rng), "zigzagging")
    places = rng.sample(list(world.PLACES), 4)
    cast = rng.sample(list(world.SUBJECTS), 3)
    return Motion(
        rng.choice(list(world.STRANGERS)),
        places[0],
        verb,
        way,
        targets=tuple(zip(cast, places[1:], strict=True)),
    )


UNSEEN: Mapping[str, Motion] = {
    f"{shape} {number}": _unseen(shape, number) for number in range(1, 7) for shape in ("circle", "zigzag")
}
"""Random circles and zigzags, each with its own sprites and places."""

MOTIONS: Mapping[str, Motion] = {**SUITE, **UNSEEN}


@dataclass(frozen=True)
class Row:
    """One line of the table: how a motion is learned, and how it is used."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the recipe that suits the model, or to that of the method in ``like`` (and its ``kind``)."""
    noise: str | None = None
    strength: float = 1.0
    keep_prompt: bool = False
    motion: bool = True
    clips: int = 1
    """How many are learned together."""
    token: str | None = None
    """What the motion is called in prompts; without one its verb is said."""
    others: int = 0
    """Captioned clips of what the model knows, learned from in turn (V*'s regularization)."""
    backward: bool = False
    subject: str | None = None
    """A sprite that the model never saw, which is learned from pictures and shown instead of the target's."""
    published: bool = False
    """Learned by the paper's own numbers, not by those that suit the model."""
    broken: str | None = None
    """What is done wrong on purpose, so that the table is seen to tell: "flipped" or "wrong clip"."""
    course: Mapping[str, Any] = field(default_factory=dict)
    """Changes to how the model draws best."""

    def cut(self, learning: int | None, sampling: int | None) -> Row:
        """The same with fewer steps, where they are given."""
        recipe = {**self.recipe, "steps": learning, "inversion_steps": learning} if learning else self.recipe
        return replace(
            self, recipe=recipe, course={"steps": sampling, **self.course} if sampling else self.course
        )

    def way(self, motion: Motion) -> Way:
        """Where its videos should go."""
        return motion.way[::-1] if self.backward else motion.way

    def doing(self, motion: Motion) -> str:
        """What is said to happen."""
        return f"doing the {self.token}" if self.token else motion.verb


_SPATIAL = tuple(
    f"spatial-{kind}-attention/{matrix}" for kind in ("self", "cross") for matrix in ("to_q", "to_k", "to_v")
)

_TEMPORAL = tuple(key for key in RECIPES["token"].trains if key.startswith("temporal-"))

_TUNE_A_VIDEO = (
    *(f"temporal-attention/{matrix}" for matrix in ("to_q", "to_k", "to_v", "to_out.0")),
    "spatial-self-attention/to_q",
    "spatial-cross-attention/to_q",
)

_RANKS = (4, 8, 16, 32, None)
_VMC = {"like": "vmc"}

ROWS: Mapping[str, Row] = {
    "default": Row(),
    "no motion": Row(motion=False),
    "inversion only": Row(_VMC, noise="inverted", strength=0.0),
    **{
        f"paper: rank {rank or 'full'}": Row({**_VMC, "rank": rank}, noise="inverted", published=True)
        for rank in _RANKS
    },
    "vmc": Row(_VMC),
    **{f"vmc, rank {rank or 'full'}": Row({**_VMC, "rank": rank}) for rank in _RANKS},
    **{
        f"vmc, loss {loss}": Row({**_VMC, "loss": loss})
        for loss in ("residual-cosine-abs", "residual-l2", "mse")
    },
    **{f"vmc, acts until {share:g}": Row({**_VMC, "acts_until": share}) for share in (0.0, 0.35, 0.4, 0.6)},
    "vmc, its own colours alone": Row({**_VMC, "recoloured": False}),
    "vmc, all temporal layers": Row({**_VMC, "trains": _TEMPORAL}),
    "vmc, spatial attention instead": Row({**_VMC, "trains": _SPATIAL}),
    "vmc, prompt kept": Row(_VMC, keep_prompt=True),
    "vmc, 6 clips": Row(_VMC, clips=6),
    "vmc, loss with its sign flipped": Row(_VMC, broken="flipped"),
    **{
        f"vmc, noise {noise}": Row(_VMC, noise=noise)
        for noise in ("inverted", "blend", "low-frequency", "motion", "random")
    },
    **{f"vmc, rate {rate:g}": Row({**_VMC, "learning_rate": rate}) for rate in (1e-3, 2e-3, 4e-3, 8e-3)},
    **{f"vmc, {steps} steps": Row({**_VMC, "steps": steps}) for steps in (40, 75, 150, 300)},
    "vmc, one clip a step": Row({**_VMC, "batch": 1, "learning_rate": 1e-3, "steps": 400}),
    **{f"vmc, strength {strength:g}": Row(_VMC, strength=strength) for strength in (0.5, 1.5)},
    **{f"{count} actors": Row({"actors": count}) for count in (1, 3, 6, 12, 24)},
    "no actors": Row({"actors": 0}),
    "no actors, other colours": Row({"actors": 0, "recoloured": True}),
    "low rank from actors": Row(
        {"adapter": "weights", "trains": _TEMPORAL, "rank": 16, "learning_rate": 6e-3},
    ),
    "low rank in attention from actors": Row({"adapter": "weights", "rank": 16, "learning_rate": 4e-3}),
    **{f"loss {loss}": Row({"loss": loss}) for loss in ("residual-cosine-abs", "residual-l2", "mse")},
    **{f"acts until {share:g}": Row({"acts_until": share}) for share in (0.0, 0.2, 0.35, 0.5)},
    "uniform timesteps": Row({"timesteps": "uniform"}),
    "prompt kept": Row(keep_prompt=True),
    **{f"noise {noise}": Row(noise=noise) for noise in ("inverted", "blend", "motion", "random")},
    **{f"rate {rate:g}": Row({"learning_rate": rate}) for rate in (2e-2, 5e-2, 1e-1, 2e-1)},
    **{f"{steps} steps": Row({"steps": steps}) for steps in (40, 90, 150)},
    **{
        f"inversion {kind}": Row({"like": "inversion", "kind": kind})
        for kind in ("object", "camera", "hybrid")
    },
    "director": Row({"like": "director"}),
    "token, 6 clips": Row({"like": "token"}, clips=6, token="V*"),
    "token, one clip in other colours": Row({"like": "token", "recoloured": True}, token="V*"),
    "token, acts to the end": Row({"like": "token", "acts_until": 0.0}, clips=6, token="V*"),
    "token, 6 clips and 240 of others": Row({"like": "token"}, clips=6, token="V*", others=240),
    "token, uniform timesteps": Row({"like": "token", "timesteps": "uniform"}, clips=6, token="V*"),
    "backward": Row(backward=True),
    "a learned subject": Row(subject="koala"),
    "a learned subject, still guided by 3": Row(subject="koala", course={"still_guidance": 3.0}),
    "a learned subject, no motion": Row(motion=False, subject="koala"),
    "broken: loss with its sign flipped": Row(broken="flipped"),
    "broken: another motion's clip": Row(broken="wrong clip"),
    "broken: not attached": Row(strength=0.0),
    # Wu et al., ICCV 2023: full weights at 3e-5 in 500 steps.
    "Tune-A-Video's layers": Row(
        {**_VMC, "trains": _TUNE_A_VIDEO, "loss": "mse", "rank": None, "learning_rate": 3e-5, "steps": 500},
        noise="inverted",
        published=True,
    ),
    **{f"guidance {scale:g}": Row(course={"guidance": scale}) for scale in (1.0, 2.0, 3.0, 4.0, 5.0, 7.5)},
    **{
        f"{steps} sampling steps, {solver}": Row(course={"steps": steps, "solver": solver})
        for solver in SOLVERS
        for steps in (15, 20, 25, 30)
    },
    **{f"guided from {share:g}": Row(course={"guide_from": share}) for share in (1.0, 0.7, 0.6, 0.4)},
    **{f"still guided by {scale:g}": Row(course={"still_guidance": scale}) for scale in (1.0, 2.0, 5.0)},
    **{f"guided until {share:g}": Row(course={"guide_until": share}) for share in (0.2, 0.4, 0.6)},
    **{f"vmc, inversion in {steps}": Row({**_VMC, "inversion_steps": steps}) for steps in (15, 25, 50)},
    **{f"strength {strength:g}": Row(strength=strength) for strength in (0.5, 1.5)},
}
