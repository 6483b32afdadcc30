"""What a prompt says about motion: the place stripped, a name made from the rest, a style appended.

English word lists and no parser: right for captions of one or two clauses. The result is always shown to the
user, who can keep the prompt as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from registry import names


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PREPOSITIONS = _words(
    "on in at above under near next through along across over into from inside outside onto upon within "
    "toward towards past by behind beside between below beneath underneath around among amid against "
    "opposite off out up down to during downtown underwater indoors outdoors overhead"
)
"""Words that begin a phrase of place, or of the time of day, when they follow the verb."""

_PLACES_ALONE = _words("downtown underwater indoors outdoors overhead")

_MANNERS = _words(
    "circle circles zigzag zigzags spiral spirals loop loops line lines arc arcs curve curves wave waves "
    "eight eights square squares triangle triangles pattern direction directions reverse unison sync "
    "formation pairs speed pace rhythm beat motion place leg legs knee knees hand hands foot feet tiptoe "
    "tiptoes toes heels fours left right side top bottom end front back forth fro other axis itself "
    "themselves camera viewer"
)
"""Last words of phrases that say how something moves, not where: "in a circle", "from side to side"."""

_ADVERBS = _words(
    "backward backwards forward forwards sideways left right up down upward upwards downward downwards "
    "fast faster slow slower around away together again twice clockwise counterclockwise anticlockwise "
    "apart alone high low and"
)
"""Words of manner without an ending that shows it; the others end in -ly."""

_NO_ADVERBS = _words("fly family lily belly jelly bully ally valley butterfly jolly italy assembly")
_BE = _words("is are was were am be been being")
_DETERMINERS = _words("a an the this that these those his her its their my your our some")
_NOT_VERBS = _words(
    "king ring wing thing string spring ceiling building morning evening wedding being duckling sibling "
    "viking starling sapling earring painting drawing clothing nothing something anything everything "
    "during"
)
_PLAIN_VERBS = _words(
    "walk run jump fly swim drive ride dance roll fall rise spin turn skate ski surf climb crawl hop leap "
    "bounce circle zigzag glide slide float drift march jog sprint gallop trot move go come sail row "
    "cycle wave shake swing sway wander stroll dive sink soar hover flap kick throw drop shrink grow "
    "rotate chase race"
)
"""Verbs that are recognised without -ing: "a man runs along the beach"."""


def invariant(prompt: str) -> str:
    """`prompt` without its background: what moves, and how, but not where (VMC, section 3.2).

    Phrases that begin with a locating preposition after the verb go, and what follows the first of them too,
    except words of manner and further verbs. "a cat is roaring on the grass" -> "a cat is roaring", while
    "backward", "in a circle" and "riding a horse" stay. Without a verb only white space is tidied.
    """
    words = _without_leading_place(prompt.split())
    verb = _verb([_plain(word) for word in words])
    if verb is None:
        return " ".join(prompt.split())
    return _sentence(words[: verb + 1] + _after(words, verb)[0])


def appearance(prompt: str) -> str:
    """What `prompt` says of looks: who and where, without what is done; "a cat is running on the grass" ->
    "a cat on the grass"."""
    words = _without_leading_place(prompt.split())
    leading = prompt.split()[: -len(words) or None] if len(words) < len(prompt.split()) else []
    verb = _verb([_plain(word) for word in words])
    if verb is None:
        return " ".join(prompt.split())
    who = [word for word in words[:verb] if _plain(word) not in _BE]
    return _sentence(who + _after(words, verb)[1] + leading)


def with_subject(prompt: str, subject: str) -> str:
    """What `prompt` says is done, done by another: "two cats are running", "a car" -> "a car is running"."""
    words = _without_leading_place(prompt.split())
    plain = [_plain(word) for word in words]
    verb = _verb(plain)
    if verb is None:
        return _sentence([subject, "doing", *words])
    rest = words[next((number for number in range(verb) if plain[number] in _BE), verb) :]
    rest[0] = "is" if _plain(rest[0]) in ("are", "am") else rest[0]
    return _sentence([subject, *rest])


def _after(words: Sequence[str], verb: int) -> tuple[list[str], list[str]]:
    """What follows the verb, divided: what belongs to the motion, and what belongs to the place."""
    plain = [_plain(word) for word in words]
    motion: list[str] = []
    place: list[str] = []
    for begin, end in _phrases(words, plain, verb + 1):
        phrase = plain[begin:end]
        if _is_place(phrase, plain[end:]):
            manner = end - _manner_at_end(phrase)
            place += words[begin:manner]
            motion += words[manner:end]
        elif (
            not place
            or phrase[0] in _PREPOSITIONS
            or _manner_at_end(phrase) == len(phrase)
            or _joins(plain, begin)
        ):
            motion += words[begin:end]
        else:
            place += words[begin:end]
    return motion, place


def _sentence(words: Sequence[str]) -> str:
    return " ".join(words).rstrip(" ,;.")


def name_for(prompt: str) -> str:
    """A motion's name from its prompt: "a seagull is walking" -> "seagull_walk"; "" when nothing is left."""
    plain = [_plain(word) for word in invariant(prompt).split()]
    verb = _verb(plain)
    spoken = []
    for number, word in enumerate(plain):
        after_verb = (
            verb is not None and number > verb and _is_ing(word) and plain[number - 1] not in _DETERMINERS
        )
        if word not in _DETERMINERS and word not in _BE:
            spoken.append(_base(word) if number == verb or after_verb else word)
    return _at_word_end(names.slug(" ".join(spoken)))


def file_stem(prompt: str) -> str:
    """A file's name without suffix: "a chicken walking in a city" -> "chicken_walking_in_a_city"."""
    words = prompt.replace("'", "").split()
    if words and _plain(words[0]) in _DETERMINERS:
        words = words[1:]
    return _at_word_end(names.slug(" ".join(words))) or "video"


def styled(prompt: str, style: str) -> str:
    """The appearance-invariant prompt with the style at its end."""
    return f"{invariant(prompt)}, {' '.join(style.split())}"


def _plain(word: str) -> str:
    return word.casefold().strip(".,;:!?\"'()").replace("'", "")


def _without_leading_place(words: list[str]) -> list[str]:
    """What follows the places that come first: "In the city a cat is walking" -> "a cat is walking"."""
    while (end := _leading_place([_plain(word) for word in words], words)) > 0:
        words = words[end:]
    return words


def _leading_place(plain: Sequence[str], words: Sequence[str]) -> int:
    """How many words the place has that `words` begin with; 0 where they do not."""
    if not plain or plain[0] not in _PREPOSITIONS:
        return 0
    for number in range(1, len(words)):
        begins_anew = number > 2 and plain[number] in _DETERMINERS and plain[number - 1] != "of"
        if begins_anew or words[number - 1].endswith(","):
            return number
    return 0


def _is_ing(word: str) -> bool:
    return len(word) > 4 and word.endswith("ing") and word not in _NOT_VERBS


def _verb(plain: Sequence[str]) -> int | None:
    """Where the first verb is: after a form of "be", else the first -ing, else a known plain verb."""
    for number, word in enumerate(plain):
        if word in _BE:
            following = range(number + 1, min(number + 4, len(plain)))
            found = next((n for n in following if _is_ing(plain[n])), None)
            if found is not None:
                return found
    bare = [n for n, _ in enumerate(plain) if n == 0 or plain[n - 1] not in _DETERMINERS]
    for matches in (_is_ing, lambda word: _base(word) in _PLAIN_VERBS):
        found = next((n for n in bare if matches(plain[n]) and (n > 0 or _is_ing(plain[n]))), None)
        if found is not None:
            return found
    return None


def _phrases(words: Sequence[str], plain: Sequence[str], start: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each phrase from `start`: at a preposition, after a comma, at "and" before a verb."""
    begin = start
    for number in range(start + 1, len(words) + 1):
        if (
            number == len(words)
            or plain[number] in _PREPOSITIONS
            or plain[number] in ("with", "while", "like")
            or words[number - 1].endswith((",", ";"))
            or _joins(plain, number)
        ):
            yield begin, number
            begin = number


def _joins(plain: Sequence[str], number: int) -> bool:
    """Whether a second verb begins here: "and jumping", "then turns", "while waving"."""
    if plain[number] not in ("and", "then", "while") or number + 1 >= len(plain):
        return False
    return _is_ing(plain[number + 1]) or _base(plain[number + 1]) in _PLAIN_VERBS


def _is_place(phrase: Sequence[str], rest: Sequence[str]) -> bool:
    first = phrase[0]
    if first == "with":  # a partner or a tool, unless it is scenery
        return not {"background", "backdrop", "distance"}.isdisjoint((*phrase, *rest))
    if first not in _PREPOSITIONS or first in _PLACES_ALONE:
        return first in _PLACES_ALONE
    if phrase[-1] in _MANNERS:
        return False
    thing = [word for word in phrase[1 : len(phrase) - _manner_at_end(phrase)] if word not in _DETERMINERS]
    return bool(thing) and thing[-1] not in _MANNERS


def _manner_at_end(phrase: Sequence[str]) -> int:
    """How many words of manner the phrase ends with."""
    count = 0
    for word in reversed(phrase):
        if word not in _ADVERBS and not (len(word) > 4 and word.endswith("ly") and word not in _NO_ADVERBS):
            break
        count += 1
    return count


_SILENT_E = _words("lung plung chang rang arrang breath bath argu continu circl")
_IRREGULAR = {"lying": "lie", "dying": "die", "tying": "tie", "flies": "fly", "goes": "go"}


def _base(word: str) -> str:
    """The plain form of an English verb in -ing or -s: walking, swimming, dancing -> walk, swim, dance."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if not _is_ing(word):
        return re.sub(r"(?<=[^s])s$", "", re.sub(r"(?<=ch|sh|ss|zz)es$", "", word))
    stem = word[:-3]
    if re.search(r"([bdgkmnprt])\1$", stem):  # swimming, running; rolling, passing and buzzing keep both
        return stem[:-1]
    short = re.fullmatch(
        r"[^aeiouy]*(?:qu)?[aeiouy][^aeiouwxy]", stem
    )  # riding: it would be "ridding" from "rid"
    ending = re.search(r"(?:[cvz]|dg|[bdfgkptz]l|[^aeou]at|[^aeiou][aeiou]s|lod|ugg|u)$", stem)
    return stem + "e" if short or ending or stem in _SILENT_E else stem


def _at_word_end(name: str) -> str:
    """A name that was cut at the longest allowed, cut once more where a word ends."""
    return name.rpartition("_")[0] or name if len(name) == names.LONGEST else name
