"""What a row of the method bench learns, kept from one run of the bench to the next."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from unittest.mock import patch

from suite import MOTIONS, Row

from registry.store import Store
from vmc_cli import motions, recipe_file, training
from vmc_cli.backbones.base import Backbone
from vmc_cli.backbones.sprites import drawing, scenes, world
from vmc_cli.clip import Clip
from vmc_cli.delta import Delta
from vmc_cli.losses import LOSSES
from vmc_cli.recipe import Recipe
from vmc_cli.tokens import WORDS, Token

SUBJECT = "X*"
CALLED = f"{SUBJECT} panda"
"""What a learned subject is called in prompts: beside a noun that the model knows."""

PICTURES = 6  # of a subject, each in another place


def motion(backbone: Backbone, store: Store, name: str, row: Row) -> Delta:
    """The motion called ``name`` as ``row`` learns it; learned now unless ``store`` has it."""
    recipe = recipe_of(backbone, row)

    def learn(label: str) -> Delta:
        footage = motions.Footage.of(
            backbone,
            shown_for(name, row),
            recipe,
            others=others(row.others),
            token=Token(row.token, WORDS[0]) if row.token else None,
        )
        with flipped(recipe.loss) if row.broken == "flipped" else nullcontext():
            return motions.learn(
                backbone,
                footage,
                name=label,
                prompt=prompt(name, row),
                recipe=recipe,
                seed=0,
                keep_prompt=row.keep_prompt,
            )

    return _kept(backbone, store, told(backbone, name, row), learn)


def prompt(name: str, row: Row) -> str:
    """What ``row`` is told of a motion's clips."""
    return f"a thing is {row.doing(MOTIONS[name])}" if row.token else MOTIONS[name].prompt


def told(backbone: Backbone, name: str, row: Row) -> list[object]:
    """All that decides what ``row`` learns of a motion, ready for JSON."""
    wrong = row.broken == "wrong clip"
    return [
        prompt(name, row),
        recipe_of(backbone, row).to_card(),
        row.keep_prompt,
        row.token,
        row.broken == "flipped",
        _frames(name, row.clips, backward=row.backward, wrong=wrong),
        row.others,
    ]


@cache
def _frames(name: str, count: int, *, backward: bool, wrong: bool) -> str:
    """Tells clips from others."""
    clips = shown_for(name, Row(clips=count, backward=backward, broken="wrong clip" if wrong else None))
    return hashlib.sha256(b"".join(clip.frames.tobytes() for clip in clips)).hexdigest()


def recipe_of(backbone: Backbone, row: Row) -> Recipe:
    """How ``row`` learns a motion."""
    changes, preferred = dict(row.recipe), {} if row.published else backbone.spec.recipes
    like, kind = changes.pop("like", backbone.spec.method), changes.pop("kind", None)
    return recipe_file.chosen(like, preferred, kind).adjusted(changes)


def subject(backbone: Backbone, store: Store, name: str) -> Delta:
    """The sprite called ``name``, which the model never saw, learned from pictures; as `motion`."""
    recipe, called = subject_recipe(backbone), f"a {CALLED}"

    def learn(label: str) -> Delta:
        footage = motions.Footage.of(
            backbone,
            pictures(name),
            recipe,
            token=Token(SUBJECT, WORDS[1]),
        )
        return motions.learn(
            backbone, footage, name=label, prompt=called, recipe=recipe, seed=0, keep_prompt=True
        )

    return _kept(backbone, store, [name, called, recipe.to_card()], learn)


def subject_recipe(backbone: Backbone) -> Recipe:
    """How a subject is learned."""
    return recipe_file.chosen("subject", backbone.spec.recipes)


def _kept(backbone: Backbone, store: Store, told: list[object], learn: Callable[[str], Delta]) -> Delta:
    name = f"m_{digest(json.dumps([*told, backbone.revision]))}"
    if not store.path(name).exists():
        delta = learn(name)
        with store.writing(name) as slot:
            delta.save(slot)
    return Delta.load(store, name)


def shown_for(name: str, row: Row) -> list[Clip]:
    """What ``row`` learns a motion from: for the broken one, a clip of the motion that comes next."""
    if row.broken == "wrong clip":
        names = list(MOTIONS)
        name = names[(names.index(name) + 1) % len(names)]
    clips = MOTIONS[name].clips(row.clips)
    return [clip.reversed() for clip in clips] if row.backward else clips


def others(count: int) -> list[tuple[Clip, str]]:
    """So many captioned clips of what the model knows."""
    rng = random.Random(0)
    drawn = [scenes.draw(rng) for _ in range(count)]
    return [(Clip(drawing.render(scene), world.FPS), caption) for scene, caption in drawn]


def pictures(name: str) -> list[Clip]:
    """A sprite in several places, at several spots."""
    rng = random.Random(0)
    found = []
    for number, place in enumerate(rng.sample(list(world.PLACES), PICTURES)):
        spot = (rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7))
        scene = world.Scene(place, 40 + number, (world.actor(name, [spot], 0.4),))
        found.append(Clip(drawing.render(scene), 1.0))
    return found


def flipped(loss: str) -> AbstractContextManager[object]:
    """Learn to do the opposite of what the loss asks for."""
    return patch.object(training, "LOSSES", {loss: lambda *given: -LOSSES[loss](*given)})


def digest(text: str) -> str:
    """A short name for a long text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
