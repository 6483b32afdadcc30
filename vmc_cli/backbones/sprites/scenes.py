"""Random scenes of the world, and captions that are true of them."""

from __future__ import annotations

import random

from .world import (
    DIAMETER,
    DIRECTIONS,
    MOTIONS,
    PLACES,
    SPEEDS,
    STYLES,
    SUBJECTS,
    VAGUE,
    VERBS,
    Actor,
    Scene,
    base_actor,
    plural,
    wanderer,
)

WANDERING = "wandering"  # the motion that words leave open
PLAIN = ("still", *DIRECTIONS)  # more often: sprites are upright then, and of one size
HARD = ("growing", "shrinking", "turning")  # more often: each size and angle is another picture

UNSEEN = ("happy", "old", "beautiful", "strange", "young", "very", "cute", "sks", "pll", "ohwx", "zwx")
"""Words that mean nothing here; learning beside them teaches the model to overlook what it does not know."""


def draw(rng: random.Random) -> tuple[Scene, str]:
    """A random scene and a caption that is true of it (sometimes short of telling all)."""
    place = rng.choice(list(PLACES))
    style = rng.choice(list(STYLES)) if rng.random() < 0.05 else ""
    motion = rng.choice(PLAIN if rng.random() < 0.15 else [*MOTIONS, *HARD])
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
        if kind < 0.30:
            motion = WANDERING
            one = wanderer(subjects[0], DIAMETER[size], rng)
        else:
            one = base_actor(subjects[0], motion, speed, DIAMETER[size])
        cast = (one,)
        who = _article(_noun(subjects[0], size, rng), rng) + " is"
    else:
        same = kind < 0.94
        if same:
            subjects[1] = subjects[0]
        motions = [motion, motion]
        apart = not same and rng.random() < 0.3
        if apart:
            motions[1] = rng.choice(("left", "right", "still", "up", "down"))
        boxes = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
        if {"left", "right"} & set(motions):
            boxes = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
        rng.shuffle(boxes)
        cast = tuple(
            base_actor(s, m, speed, DIAMETER[""], box)
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
        say_place = whole or rng.random() < 0.88
        if motion in ("still", WANDERING) and rng.random() < 0.25:
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
    if motion == WANDERING:
        return rng.choice((*VAGUE, _made_up(rng) + "ing"))
    verbs = [v for v, bases in VERBS.items() if motion in bases]
    if verbs and rng.random() < 0.35:
        told = motion != "right" or rng.random() < 0.5
        phrase = rng.choice(verbs) + (f" {motion.replace('-', ' and ')}" if told else "")
    else:
        phrase = rng.choice(MOTIONS[motion])
    adverb = rng.choice(SPEEDS[speed])
    return phrase if motion == "still" or not adverb else f"{phrase} {adverb}"


def beside_strange_words(caption: str, rng: random.Random) -> str:
    """Now and then a made-up word or two somewhere in the caption, so that a word never met does no harm."""
    if rng.random() > 0.15:
        return caption
    words = caption.split()
    for _ in range(rng.choice((1, 1, 2))):
        made_up = _made_up(rng) + rng.choice(("", "", "ing", "s"))
        words.insert(rng.randint(0, len(words)), made_up)
    return " ".join(words)


def _made_up(rng: random.Random) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, 3)))


_SYLLABLES = [
    start + vowel + end
    for start in ("", *"bcdfghjklmnprstvwz", "st", "ch")
    for vowel in "aeiouy"
    for end in ("", *"nrstlgk")
]
