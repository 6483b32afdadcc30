"""The world that `sprites` knows, as words and plain scenes: subjects, places, base motions, styles.

Lengths are in frame widths, (0, 0) the upper left corner and (1, 1) the lower right one; angles in radians.
"""

from __future__ import annotations

import math
import random
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
    # natural verb: the base motions it can mean; a direction may follow it ("walking left")
    "walking": ("left", "right"),
    "running": ("left", "right"),
    "driving": ("left", "right"),
    "swimming": ("left", "right"),
    "flying": ("left", "right", "up-left", "up-right"),
    "moving": ("left", "right", "up", "down"),
}

SPEEDS: dict[str, tuple[str, ...]] = {
    "slow": ("slowly", "slow"),
    "normal": ("",),
    "fast": ("quickly", "fast"),
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
TRAVEL = {"slow": (0.10, 0.18), "normal": (0.24, 0.42), "fast": (0.50, 0.64)}  # over the whole clip
TURN = {"slow": (0.4, 0.8), "normal": (1.4, 2.6), "fast": (3.4, 4.8)}
GROWTH = {"slow": (1.25, 1.4), "normal": (1.6, 2.0), "fast": (2.2, 2.6)}
DIAMETER = {"small": (0.28, 0.285), "": (0.40, 0.41), "big": (0.56, 0.565)}
GRID = 2  # pixels apart are the places where sprites stand, and their sizes: each has few looks to be learnt
TILT = math.pi / 12  # between two angles
UNSEEN = ("happy", "old", "beautiful", "strange", "young", "very", "cute", "sks", "pll", "ohwx", "zwx")
"""Words that mean nothing here; learning beside them teaches the model to overlook what it does not know."""


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


def base_actor(
    subject: str, motion: str, speed: str, diameter: float, rng: random.Random, box: Box = WHOLE
) -> Actor:
    """A sprite in one of MOTIONS that stays inside `box`; a way too long for it is shortened."""
    left, top, right, bottom = box
    pace = rng.uniform(-0.35, 0.35)  # speeds up or slows down a little
    steps = [i / (FRAMES - 1) for i in range(FRAMES)]
    steps = [u + pace * u * (1 - u) for u in steps]
    scales, angles = [1.0] * FRAMES, [0.0] * FRAMES
    if motion in ("growing", "shrinking"):
        factor = rng.uniform(*GROWTH[speed])
        scales = [(1 / factor) ** (1 - u) for u in steps]
        diameter = diameter * 1.3
        if motion == "shrinking":
            scales.reverse()
    if motion == "turning":
        turn = rng.uniform(*TURN[speed])
        angles = [turn * u for u in steps]
    diameter = min(diameter, right - left, bottom - top)
    mx = my = 0.0
    if motion in DIRECTIONS:
        dx, dy = DIRECTIONS[motion]
        heading = math.atan2(dy, dx) + rng.uniform(-0.12, 0.12)
        travel = rng.uniform(*TRAVEL[speed])
        mx, my = travel * math.cos(heading), travel * math.sin(heading)
        fit = min(1.0, (right - left - diameter) / abs(mx), (bottom - top - diameter) / abs(my))
        mx, my = mx * fit, my * fit
    x = rng.uniform(left + diameter / 2 - min(mx, 0), right - diameter / 2 - max(mx, 0))
    y = rng.uniform(top + diameter / 2 - min(my, 0), bottom - diameter / 2 - max(my, 0))
    centres = tuple((_snapped(x + mx * u), _snapped(y + my * u)) for u in steps)
    angles = [round(angle / TILT) * TILT for angle in angles]
    return Actor(subject, centres, tuple(_snapped(diameter * s) for s in scales), tuple(angles))


def _snapped(length: float) -> float:
    return round(length * SIZE / GRID) * GRID / SIZE


def beside_strange_words(caption: str, rng: random.Random) -> str:
    """Now and then a made-up word or two somewhere in the caption, so that a word never met does no harm."""
    if rng.random() > 0.15:
        return caption
    words = caption.split()
    for _ in range(rng.choice((1, 1, 2))):
        made_up = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 3)))
        made_up += rng.choice(("", "", "ing", "s"))
        words.insert(rng.randint(0, len(words)), made_up)
    return " ".join(words)


_SYLLABLES = [
    start + vowel + end
    for start in ("", *"bcdfghjklmnprstvwz", "st", "ch")
    for vowel in "aeiouy"
    for end in ("", *"nrstlgk")
]


def plural(noun: str) -> str:
    """The plural of a subject word ("two mice")."""
    odd = {"mouse": "mice", "wolf": "wolves", "goose": "geese", "fish": "fish", "sheep": "sheep"}
    if noun in odd:
        return odd[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh", "tch")) else "s")


def words_for(subject: str, rng: random.Random) -> str:
    """The subject's name, now and then another word for it."""
    others = SUBJECTS[subject][1:]
    return rng.choice(others) if others and rng.random() < 0.3 else subject


def _noun(subject: str, size: str, rng: random.Random) -> str:
    noun = words_for(subject, rng)
    size = {
        "small": rng.choice(("small ", "little ", "tiny ")),
        "big": rng.choice(("big ", "large ", "huge ")),
    }.get(size, "")
    extra = rng.choice(UNSEEN) + " " if rng.random() < 0.12 else ""
    return f"{extra}{size}{noun}"


def _article(phrase: str, rng: random.Random) -> str:
    if rng.random() < 0.12:
        return phrase
    if rng.random() < 0.15:
        return f"the {phrase}"
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _motion_words(motion: str, speed: str, rng: random.Random) -> str:
    verbs = [v for v, bases in VERBS.items() if motion in bases]
    if verbs and rng.random() < 0.35:
        phrase = rng.choice(verbs) + (f" {motion.replace('-', ' and ')}" if rng.random() < 0.75 else "")
    else:
        phrase = rng.choice(MOTIONS[motion])
    adverb = rng.choice(SPEEDS[speed])
    return phrase if motion == "still" or not adverb else f"{phrase} {adverb}"


def draw(rng: random.Random) -> tuple[Scene, str]:
    """A random scene and a caption that is true of it (sometimes short of telling all)."""
    place = rng.choice(list(PLACES))
    style = rng.choice(list(STYLES)) if rng.random() < 0.05 else ""
    plain = ["still", *DIRECTIONS]  # more often: sprites are upright then, and of one size
    motion = rng.choice(plain if rng.random() < 0.4 else list(MOTIONS))
    speed = rng.choice(("slow", "normal", "normal", "normal", "fast"))
    size = rng.choice(("small", *[""] * 18, "big"))
    if motion in ("growing", "shrinking"):
        size = ""
    subjects = rng.sample(list(SUBJECTS), 2)
    kind = rng.random()
    if kind < 0.03:
        cast: tuple[Actor, ...] = ()
        who = ""
    elif kind < 0.90:
        cast = (base_actor(subjects[0], motion, speed, rng.uniform(*DIAMETER[size]), rng),)
        who = _article(_noun(subjects[0], size, rng), rng) + " is"
    else:
        same = kind < 0.94
        if same:
            subjects[1] = subjects[0]
        diameter = rng.uniform(*DIAMETER[""])
        motions = [motion, motion]
        apart = not same and rng.random() < 0.3
        if apart:
            motions[1] = rng.choice(("left", "right", "still", "up", "down"))
        boxes = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
        if {"left", "right"} & set(motions):
            boxes = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
        rng.shuffle(boxes)
        cast = tuple(
            base_actor(s, m, speed, diameter, rng, box)
            for s, m, box in zip(subjects, motions, boxes, strict=True)
        )
        first, second = (_article(words_for(s, rng), rng) for s in subjects)
        who = f"{first} and {second} are"
        if same:
            who = f"two {plural(words_for(subjects[0], rng))} are"
        if apart:
            who = f"{first} is {_motion_words(motions[0], speed, rng)} and {second} is"
            motion, size = motions[1], "told in full"
    return Scene(place, rng.randrange(1 << 20), cast, style), _caption(
        who, motion, speed, place, style, rng, whole=bool(size)
    )


def _caption(
    who: str, motion: str, speed: str, place: str, style: str, rng: random.Random, *, whole: bool
) -> str:
    where = rng.choice(PLACES[place])
    if not who:
        text = rng.choice((place, f"the {place}", f"nothing {where}", where))
    else:
        say_motion = whole or rng.random() < 0.9
        say_place = whole or rng.random() < 0.88
        if not say_motion or (motion == "still" and rng.random() < 0.2):
            who = who.rsplit(" ", 1)[0]
            doing = ""
        else:
            doing = " " + _motion_words(motion, speed, rng)
            if rng.random() < 0.2:
                who = who.rsplit(" ", 1)[0]
        text = f"{who}{doing}"
        if say_place:
            text = f"{where} {text}" if rng.random() < 0.06 else f"{text} {where}"
    if style:
        name = rng.choice(STYLES[style])
        text += rng.choice((f", {name} style", f", {name}", f" {name} style", f" in {name} style"))
    if rng.random() < 0.06:
        text += " " + rng.choice(UNSEEN)
    return text
