"""Card: all that is known of a motion, kept in the header of its own file.

Written strictly, read permissively: keys that this version does not know are kept; a newer schema is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from registry.errors import Damaged, Incompatible
from registry.header import parse_object

FORMAT = "motion"
SCHEMA = 1


@dataclass(frozen=True)
class Source:
    """A clip that was learned from: its file name without a folder, and its sha256 in hex."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Card:
    """What a motion is and how it was made, as plain data."""

    name: str
    backbone: str
    revision: str  # of the backbone: sha256 of its weights, in hex
    method: str
    recipe: dict[str, Any]  # the whole recipe: str, int, float, bool, None or a list of them
    prompt: str  # as given
    prompt_used: str  # as learned, appearance-invariant
    frames: int
    height: int  # pixels
    width: int
    fps: float
    seed: int
    sources: tuple[Source, ...]
    versions: dict[str, str]  # of the packages that made it
    created: str  # UTC, ISO 8601
    seconds: float  # that learning took
    loss: float  # the last one
    steps: int
    kind: str = "motion"
    extra: dict[str, Any] = field(default_factory=dict)  # keys from another version, kept

    def to_metadata(self) -> dict[str, str]:
        """The card as a safetensors header's metadata. Raises ValueError for a NaN, or what is not JSON.

        Half characters, as in the name of a file that is not UTF-8, become U+FFFD.
        """
        known = {key: getattr(self, key) for key in _FIELDS}
        known["sources"] = [asdict(source) for source in self.sources]
        text = json.dumps({**self.extra, **known}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        metadata = {"vmc.format": FORMAT, "vmc.schema": str(SCHEMA), "vmc.card": whole}
        Card.from_metadata(metadata)  # what would be refused when read is refused now
        return metadata

    @staticmethod
    def from_metadata(metadata: Mapping[str, str]) -> Card:
        """The card in a header's metadata. Raises Damaged without one, Incompatible for a newer schema."""
        if metadata.get("vmc.format") != FORMAT:
            raise Damaged("it is not a motion")
        schema = metadata.get("vmc.schema", "")
        if not (schema.isascii() and schema.isdigit() and len(schema) < 10 and int(schema)):
            raise Damaged("its schema is not a number")
        if int(schema) > SCHEMA:
            raise Incompatible(f"it needs a newer vmc (schema {int(schema)})", "pip install -U vmc")
        found = parse_object(metadata.get("vmc.card", "{}"))
        values: dict[str, Any] = {}
        for key, types in _FIELDS.items():
            value = found.pop(key, None)
            if not isinstance(value, types) or isinstance(value, bool):
                raise Damaged(f"its card lacks {key!r}, or has it wrong")
            values[key] = value
        values |= {key: float(values[key]) for key in ("fps", "seconds", "loss")}
        if wrong := [key for key in _POSITIVE if not 0 < values[key] < math.inf]:
            raise Damaged(f"its card has {wrong[0]!r} wrong")
        values["sources"] = _sources(values["sources"])
        if not all(isinstance(version, str) for version in values["versions"].values()):
            raise Damaged("its card has 'versions' wrong")
        return Card(**values, extra=found)


def _sources(rows: list[object]) -> tuple[Source, ...]:
    sources = []
    for row in rows:
        name, sha256 = (row.get("name"), row.get("sha256")) if isinstance(row, dict) else (None, None)
        if not (isinstance(name, str) and isinstance(sha256, str)):
            raise Damaged("its card has 'sources' wrong")
        sources.append(Source(name, sha256))
    return tuple(sources)


# Every key of a card's JSON with the types that its value may have.
_TYPES: dict[object, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "dict[str, str]": (dict,),
    "dict[str, Any]": (dict,),
    "tuple[Source, ...]": (list,),
}
_FIELDS = {key.name: _TYPES[key.type] for key in fields(Card) if key.name != "extra"}
_POSITIVE = ("frames", "height", "width", "fps")
