"""A way, gone by others: clips to learn it from without the looks of the clip that showed it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice

from vmc_cli.clip import Clip
from vmc_cli.ways import Way

from .drawing import render
from .world import DIAMETER, FPS, PLACES, SUBJECTS, Actor, Scene, snapped


def acted(way: Way, count: int) -> list[Clip]:
    """``count`` clips of things that the model knows, each in another place; the same for the same way.

    All are of the size that the model knows best, times what the way tells, and stand where it knows them to.
    """
    rng = random.Random(0)
    centres = tuple((snapped(x), snapped(y)) for x, y in way.centres)
    diameters = tuple(snapped(DIAMETER[""] * scale) for scale in way.scales)
    cast, places = (_dealt(rng, list(deck), count) for deck in (SUBJECTS, PLACES))
    return [
        Clip(render(Scene(place, number, (Actor(subject, centres, diameters, way.angles),))), FPS)
        for number, (subject, place) in enumerate(zip(cast, places, strict=True))
    ]


def _dealt(rng: random.Random, deck: Sequence[str], count: int) -> list[str]:
    """So many cards; none comes again before all others came."""
    decks = -(-count // len(deck))
    return list(islice((card for _ in range(decks) for card in rng.sample(deck, len(deck))), count))
