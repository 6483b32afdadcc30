"""The world that `sprites` knows, as words and plain scenes: subjects, places, base motions, styles.

Lengths are in frame widths, (0, 0) the upper left corner and (1, 1) the lower right one; angles in radians.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

FRAMES = 8
SIZE = 64  # pixels
FPS = 8

SUBJECTS: dict[str, tuple[str, ...]] = {
    # name: (glyph, other words for it...)
    "chicken": ("🐓", "rooster", "hen"),
    "seagull": ("🕊", "dove", "pigeon"),
    "owl": ("🦉",),
    "duck": ("🦆",),
    "penguin": ("🐧",),
    "parrot": ("🦜", "macaw"),
    "flamingo": ("🦩",),
    "shark": ("🦈",),
    "whale": ("🐋",),
    "fish": ("🐠",),
    "octopus": ("🐙", "squid"),
    "frog": ("🐸", "toad"),
    "tiger": ("🐅",),
    "lion": ("🦁",),
    "cat": ("🐈", "kitten"),
    "dog": ("🐕", "puppy"),
    "panda": ("🐼",),
    "monkey": ("🐒", "chimpanzee"),
    "cow": ("🐄",),
    "pig": ("🐖",),
    "elephant": ("🐘",),
    "rabbit": ("🐇", "bunny", "hare"),
    "dinosaur": ("🦕",),
    "butterfly": ("🦋", "moth"),
    "bee": ("🐝", "wasp"),
    "car": ("🚗", "automobile"),
    "bus": ("🚌",),
    "train": ("🚂", "locomotive"),
    "airplane": ("✈", "plane", "aeroplane", "jet"),
    "helicopter": ("🚁",),
    "rocket": ("🚀", "spaceship"),
    "sailboat": ("⛵", "boat"),
    "balloon": ("🎈",),
    "ball": ("⚽", "football"),
    "ghost": ("👻",),
    "pumpkin": ("🎃",),
    "eagle": ("🦅", "hawk"),
    "crab": ("🦀",),
    "fox": ("🦊",),
    "horse": ("🐎", "pony"),
    "sheep": ("🐑", "lamb"),
    "giraffe": ("🦒",),
    "tractor": ("🚜",),
    "dolphin": ("🐬",),
    "crocodile": ("🐊", "alligator"),
    "snake": ("🐍",),
    "truck": ("🚚", "lorry"),
    "snowman": ("⛄",),
}

STRANGERS: dict[str, str] = {
    # drawn like the others, but never shown to the model: the moving things of clips from elsewhere
    "turtle": "🐢",
    "ufo": "🛸",
    "robot": "🤖",
    "apple": "🍎",
    "flower": "🌻",
    "bird": "🐦",
    "swan": "🦢",
    "wolf": "🐺",
    "bear": "🐻",
    "koala": "🐨",
    "goat": "🐐",
    "camel": "🐫",
    "mouse": "🐁",
    "squirrel": "🐿",
    "hedgehog": "🦔",
    "dragon": "🐉",
    "ladybug": "🐞",
    "snail": "🐌",
    "taxi": "🚕",
    "bicycle": "🚲",
    "ship": "🚢",
    "banana": "🍌",
    "mushroom": "🍄",
    "teapot": "🫖",
}

PLACES: dict[str, tuple[str, ...]] = {
    # name: phrases that put a subject there
    "city": ("in the city", "in a city", "in a town", "on the street", "downtown"),
    "sea": ("in the sea", "under water", "underwater", "in the ocean", "on the water"),
    "forest": ("in the forest", "in a forest", "in the woods", "in the jungle", "under the trees"),
    "desert": ("in the desert", "in a desert", "on the dunes", "on the sand dunes"),
    "sky": ("in the sky", "in the air", "in the clouds", "above the clouds"),
    "snow": ("in the snow", "on the snow", "on the ice", "in winter"),
    "space": ("in space", "in outer space", "in the galaxy", "among the stars"),
    "grass": ("on the grass", "on a meadow", "in a field", "in the park", "on the lawn"),
    "beach": ("on the beach", "at the beach", "on the shore", "by the sea"),
    "mountains": ("in the mountains", "on a mountain", "on the mountain", "in the hills"),
    "room": ("in a room", "in the room", "in a house", "at home", "indoors"),
    "volcano": ("in a volcano", "on a volcano", "over the lava", "near the lava"),
}

MOTIONS: dict[str, tuple[str, ...]] = {
    # name: words for it; {speed} is where "slowly" or "quickly" may stand
    "still": ("standing still", "sitting still", "resting", "not moving", "waiting", "still"),
    "left": ("moving left", "moving to the left", "going left", "heading left"),
    "right": ("moving right", "moving to the right", "going right", "heading right"),
    "up": ("moving up", "rising", "going up", "climbing up", "flying up"),
    "down": ("moving down", "falling", "going down", "sinking", "falling down"),
    "up-left": ("moving up and left", "going up to the left", "moving to the upper left"),
    "up-right": ("moving up and right", "going up to the right", "moving to the upper right"),
    "down-left": ("moving down and left", "going down to the left", "moving to the lower left"),
    "down-right": ("moving down and right", "going down to the right", "moving to the lower right"),
    "growing": ("growing", "getting bigger", "coming closer", "approaching"),
    "shrinking": ("shrinking", "getting smaller", "going away", "disappearing"),
    "turning": ("turning", "turning around", "spinning", "rotating"),
}

VERBS: dict[str, tuple[str, ...]] = {
    # natural verb: the base motions it can mean; a direction may follow ("walking left"), alone: right
    "walking": ("right", "left"),
    "running": ("right", "left"),
    "driving": ("right", "left"),
    "swimming": ("right", "left"),
    "flying": ("right", "left", "up-left", "up-right"),
}

VAGUE = ("moving", "moving around", "going around")
"""Wandering: any way at all, from anywhere. Ways that have a shape are left to learned motions."""

SPEEDS: dict[str, tuple[str, ...]] = {
    "slow": ("slowly", "slow"),
    "normal": ("",),
    "fast": ("quickly", "fast"),
}

SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "big": ("big", "large", "huge"),
}

STYLES: dict[str, tuple[str, ...]] = {
    "van gogh starry night": ("van gogh starry night", "van gogh", "starry night", "oil painting"),
    "pencil sketch": ("pencil sketch", "pencil drawing", "sketch"),
    "black and white": ("black and white", "grayscale", "noir"),
    "night": ("at night", "night", "moonlight"),
}

DIRECTIONS: dict[str, tuple[float, float]] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
    "up-left": (-1, -1),
    "up-right": (1, -1),
    "down-left": (-1, 1),
    "down-right": (1, 1),
}
TRAVEL = {"slow": 0.14, "normal": 0.34, "fast": 0.56}  # over the whole clip
TURN = {"slow": 0.8, "normal": 2.0, "fast": 4.0}
GROWTH = {"slow": 1.2, "normal": 1.5, "fast": 1.6}
DIAMETER = {"small": 0.28, "": 0.405, "big": 0.56}
GRID = 2  # pixels apart are the places where sprites stand, and their sizes: each has few looks to be learnt
TILT = math.pi / 12  # between two angles


@dataclass(frozen=True)
class Actor:
    """One sprite and its way: a centre (x, y), a diameter and an angle for every frame."""

    subject: str
    centres: tuple[tuple[float, float], ...]
    diameters: tuple[float, ...]
    angles: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """All that is needed to draw a clip: `variant` is the seed of the place's look."""

    place: str
    variant: int
    actors: tuple[Actor, ...]
    style: str = ""


def actor(
    subject: str,
    centres: Sequence[tuple[float, float]],
    diameter: float = 0.34,
    *,
    scales: Sequence[float] | None = None,
    angles: Sequence[float] | None = None,
) -> Actor:
    """A sprite on any path, for clips of motions that the model was not taught."""
    sizes = tuple(diameter * s for s in scales) if scales else (diameter,) * len(centres)
    return Actor(subject, tuple(centres), sizes, tuple(angles) if angles else (0.0,) * len(centres))


Box = tuple[float, float, float, float]  # left, top, right, bottom
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def base_actor(subject: str, motion: str, speed: str, diameter: float, box: Box = WHOLE) -> Actor:
    """A sprite in one of MOTIONS, from the middle of `box` outward; a longer way begins before the middle.

    Words decide the way entirely, and already where a sprite is on the whole tells motions apart: a small
    model learns from them what is the same every time, and single frames teach it most of that.
    """
    left, top, right, bottom = box
    steps = [i / (FRAMES - 1) for i in range(FRAMES)]
    scales, angles = changes(motion, speed)
    diameter = min(diameter, (right - left) / max(scales), (bottom - top) / max(scales))
    dx, dy = DIRECTIONS.get(motion, (0, 0))
    travel = TRAVEL[speed] / (math.hypot(dx, dy) or 1)
    axes = ((left + diameter / 2, right - diameter / 2, dx), (top + diameter / 2, bottom - diameter / 2, dy))
    travel = min([travel, *(most - least for least, most, direction in axes if direction)])
    starts = [min(max((a + b) / 2, a - travel * d), b - travel * d) for a, b, d in axes]
    centres = tuple(
        (snapped(starts[0] + travel * dx * u), snapped(starts[1] + travel * dy * u)) for u in steps
    )
    return Actor(subject, centres, tuple(snapped(diameter * s) for s in scales), tuple(angles))


def changes(motion: str, speed: str) -> tuple[list[float], list[float]]:
    """Scales and angles of the frames in one of MOTIONS."""
    steps = [i / (FRAMES - 1) for i in range(FRAMES)]
    scales, angles = [1.0] * FRAMES, [0.0] * FRAMES
    if motion in ("growing", "shrinking"):
        scales = [GROWTH[speed] ** (u if motion == "growing" else -u) for u in steps]
    if motion == "turning":
        angles = [round(TURN[speed] * u / TILT) * TILT for u in steps]
    return scales, angles


def snapped(length: float) -> float:
    return round(length * SIZE / GRID) * GRID / SIZE


def indefinite(noun: str) -> str:
    """The noun with its article ("an airplane")."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """The plural of a subject word ("two mice")."""
    odd = {"mouse": "mice", "wolf": "wolves", "goose": "geese", "fish": "fish", "sheep": "sheep"}
    if noun in odd:
        return odd[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh", "tch")) else "s")


def says(prompt: str, subject: str) -> bool:
    """Whether a prompt names the subject, by any word for it, one or several."""
    words = {subject, *SUBJECTS.get(subject, ("",))[1:]}
    return not {*words, *map(plural, words)}.isdisjoint(re.findall(r"\w+", prompt.lower()))
