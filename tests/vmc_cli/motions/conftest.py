"""A motion learned from noise in three steps, and videos with it."""

from dataclasses import fields, replace

import numpy as np
import pytest

from vmc_cli.clip import Clip
from vmc_cli.course import Course
from vmc_cli.motions import Footage, generate, learn
from vmc_cli.recipes import RECIPES

RECIPE = RECIPES["vmc"].adjusted({"steps": 3, "rank": 2, "inversion_steps": 3, "learning_rate": 1e-2})
PROMPT = "a bird is walking in the city"
CAT = "a cat is walking in the sea"


def clip(seed=0, frames=4, size=32):
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)
    return Clip(pixels, 12.5)


CLIP = clip()


def learned(backbone, clips=(CLIP,), **options):
    film = {key: options.pop(key) for key in ("sources", "token", "others") if key in options}
    wishes = {"name": "walk", "prompt": PROMPT, "recipe": RECIPE, "seed": 0, **options}
    return learn(backbone, Footage.of(backbone, clips, wishes["recipe"], **film), **wishes)


@pytest.fixture
def delta(tiny_backbone):
    return learned(tiny_backbone)


def generated(backbone, prompt=CAT, **options):
    given = {field.name: options.pop(field.name) for field in fields(Course) if field.name in options}
    course = replace(backbone.spec.course, **{"steps": 2, **given})
    return generate(backbone, prompt, course=course, **options).frames
