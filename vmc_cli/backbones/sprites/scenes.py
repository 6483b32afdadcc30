"""Random scenes of the world, and captions that are true of them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .wandering import ANYHOW, wanderers
from .world import (
    DIAMETER,
    DIRECTIONS,
    MOTIONS,
    PLACES,
    SIZES,
    SPEEDS,
    STYLES,
    SUBJECTS,
    VAGUE,
    VERBS,
    Actor,
    Scene,
    base_actor,
    indefinite,
    plural,
)

WANDERING = "wandering"  # the motion that words leave open
PLAIN = ("still", *DIRECTIONS)  # more often: sprites are upright then, and of one size
HARD = ("growing", "shrinking", "turning")  # more often: each size and angle is another picture

UNSEEN = ("happy", "old", "beautiful", "strange", "young", "very", "cute", "sks", "pll", "ohwx", "zwx")
"""Words that mean nothing here; learning beside them teaches the model to overlook what it does not know."""


@dataclass(frozen=True)
class _Doing:
    """A motion in words, and what is done ``also`` while wandering."""

    motion: str
    speed: str
    also: str = ""


@dataclass(frozen=True)
class _Play:
    """Who does what, in words (up to the verb) and in pictures; ``whole``: the caption leaves nothing out."""

    cast: tuple[Actor, ...]
    who: str
    doing: _Doing
    whole: bool = False


def draw(rng: random.Random) -> tuple[Scene, str]:
    """A random scene and a caption that is true of it (sometimes short of telling all)."""
    place = rng.choice(list(PLACES))
    style = rng.choice(list(STYLES)) if rng.random() < 0.05 else ""
    motion = rng.choice(PLAIN if rng.random() < 0.15 else [*MOTIONS, *HARD, *HARD])
    doing = _Doing(motion, rng.choice(("slow", "normal", "normal", "normal", "fast")))
    kind = rng.random()
    if kind < 0.03:
        play = _Play((), "", doing)
    elif kind < 0.53:
        play = _wandering(doing, rng)
    elif kind < 0.92:
        play = _alone(doing, rng)
    else:
        play = _two(doing, rng)
    return Scene(place, rng.randrange(1 << 20), play.cast, style), _caption(play, place, style, rng)


def _alone(doing: _Doing, rng: random.Random) -> _Play:
    size = "" if doing.motion in ("growing", "shrinking") else _size(rng)
    subject = rng.choice(list(SUBJECTS))
    one = base_actor(subject, doing.motion, doing.speed, DIAMETER[size])
    return _Play((one,), f"{_article(_noun(subject, size, rng), rng)} is", doing, whole=bool(size))


def _wandering(doing: _Doing, rng: random.Random) -> _Play:
    also = rng.choice((*HARD, ANYHOW, ANYHOW)) if rng.random() < 0.25 else ""
    size = "" if also else _size(rng)
    subject = rng.choice(list(SUBJECTS))
    cast = wanderers([subject], DIAMETER[size], rng, doing.speed, also)
    doing = _Doing(WANDERING, doing.speed, "" if also == ANYHOW else also)
    return _Play(cast, f"{_article(_noun(subject, size, rng), rng)} is", doing, whole=bool(size))


def _two(doing: _Doing, rng: random.Random) -> _Play:
    subjects = rng.sample(list(SUBJECTS), 2)
    if same := rng.random() < 0.4:
        subjects[1] = subjects[0]
    first, second = (_article(words_for(s, rng), rng) for s in subjects)
    who = f"two {plural(words_for(subjects[0], rng))} are" if same else f"{first} and {second} are"
    if rng.random() < 0.35:
        # Small: two of the usual size have no room to go far together.
        cast = wanderers(subjects, DIAMETER["small"], rng, doing.speed)
        return _Play(cast, who, _Doing(WANDERING, doing.speed))
    motions = [doing.motion, doing.motion]
    if apart := not same and rng.random() < 0.3:
        motions[1] = rng.choice(("left", "right", "still", "up", "down"))
        who = f"{first} is {_motion_words(doing, rng)} and {second} is"
    boxes = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]
    if {"left", "right"} & set(motions):
        boxes = [(0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)]
    rng.shuffle(boxes)
    pairs = zip(subjects, motions, boxes, strict=True)
    cast = tuple(base_actor(s, m, doing.speed, DIAMETER[""], box) for s, m, box in pairs)
    return _Play(cast, who, _Doing(motions[1], doing.speed), whole=apart)


def _size(rng: random.Random) -> str:
    return rng.choice(("small", *[""] * 18, "big"))


def _caption(play: _Play, place: str, style: str, rng: random.Random) -> str:
    who, doing, where = play.who, play.doing, rng.choice(PLACES[place])
    if not who:
        text = rng.choice((place, f"the {place}", f"nothing {where}", where))
    else:
        say_place = play.whole or rng.random() < 0.88
        left_out = doing.motion in ("still", WANDERING) and not doing.also and rng.random() < 0.25
        if left_out or rng.random() < 0.2:
            who = who.rsplit(" ", 1)[0]
        text = who if left_out else f"{who} {_motion_words(doing, rng)}"
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
    sizes = {kind: rng.choice(words) for kind, words in SIZES.items()}
    extra = rng.choice(UNSEEN) + " " if rng.random() < 0.12 else ""
    return f"{extra}{sizes[size]} {noun}" if size in sizes else f"{extra}{noun}"


def _article(phrase: str, rng: random.Random) -> str:
    if rng.random() < 0.12:
        return phrase
    if rng.random() < 0.15:
        return f"the {phrase}"
    return indefinite(phrase)


def _motion_words(doing: _Doing, rng: random.Random) -> str:
    motion, adverb = doing.motion, rng.choice(SPEEDS[doing.speed])
    verbs = [v for v, bases in VERBS.items() if motion in bases]
    if motion == WANDERING:
        phrase = rng.choice((*VAGUE, _made_up(rng) + "ing"))
    elif verbs and rng.random() < 0.35:
        told = motion != "right" or rng.random() < 0.5
        phrase = rng.choice(verbs) + (f" {motion.replace('-', ' and ')}" if told else "")
    else:
        phrase = rng.choice(MOTIONS[motion])
    if adverb and motion != "still":
        phrase = f"{phrase} {adverb}"
    return f"{phrase} and {rng.choice(MOTIONS[doing.also])}" if doing.also else phrase


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
