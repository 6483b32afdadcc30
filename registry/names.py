"""The names of motions: safe as a file name on every system, and the same name whatever the letter case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import count

from registry.errors import BadName

LONGEST = 64
RULE = f"A name has 1 to {LONGEST} of a-z, 0-9, _ and -, and begins and ends with a letter or digit."

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?", re.ASCII)
# Windows opens a device instead of a file for these, in any folder and with any suffix; files travel.
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


def check(name: str) -> str:
    """`name` as it is. Raises BadName, with the nearest good name as its hint."""
    if _NAME.fullmatch(name) and name not in _DEVICES:
        return name
    near = slug(name)
    shown = name if len(name) <= LONGEST else name[:LONGEST] + "..."
    raise BadName(f"{shown!r} cannot be the name of a motion.", f"Try {near}. {RULE}" if near else RULE)


def slug(text: str) -> str:
    """The nearest good name to any text: "A Seagull, walking" -> "a_seagull_walking"; "" when nothing is
    left.

    Accents and invisible characters are dropped, letters are folded, all else separates. A good name stays
    as it is.
    """
    folded = unicodedata.normalize("NFKD", text).casefold()
    visible = "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Cf"))
    name = re.sub(r"[^a-z0-9_-]+", "_", visible).strip("_-")[:LONGEST].rstrip("_-")
    return f"{name}_motion" if name in _DEVICES else name


def numbered(name: str) -> Iterator[str]:
    """`name`, `name_2`, `name_3` and so on, cut so that each is short enough."""
    yield check(name)
    for n in count(2):
        suffix = f"_{n}"
        yield name[: LONGEST - len(suffix)].rstrip("_-") + suffix
