from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.card import SCHEMA, Card, Source
from registry.errors import Damaged, Incompatible
from tests.specimens import CARD, card

# Whole characters of every kind, control and bidirectional ones too; no half ones.
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63), 2**64)
PLAIN = st.recursive(
    st.none() | st.booleans() | WHOLE | NUMBER | TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
CARDS = st.builds(
    Card,
    **dict.fromkeys(("backbone", "revision", "method", "prompt", "prompt_used", "created", "kind"), TEXT),
    **dict.fromkeys(("frames", "height", "width"), st.integers(1, 2**64)),
    **dict.fromkeys(("seed", "steps"), WHOLE),
    **dict.fromkeys(("seconds", "loss"), NUMBER),
    fps=st.floats(0, exclude_min=True, allow_infinity=False),
    name=TEXT,
    recipe=st.dictionaries(TEXT, PLAIN, max_size=4),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
    sources=st.lists(st.builds(Source, TEXT, TEXT), max_size=3).map(tuple),
    extra=st.dictionaries(TEXT.map("x-".__add__), PLAIN, max_size=3),
)


@given(CARDS)
def test_a_card_survives_its_metadata(card: Card) -> None:
    metadata = card.to_metadata()
    assert all(isinstance(text, str) for pair in metadata.items() for text in pair)
    assert Card.from_metadata(metadata) == card


def test_hostile_text_survives_as_data() -> None:
    hostile = "\x1b]52;c;ZXZpbA==\x07[bold red]\r\n\u202e\x00</script>{}\u2028\U0001f9ff" + "e\u0301" * 50
    kept = Card.from_metadata(card(prompt=hostile, sources=(Source(hostile, ""),)).to_metadata())
    assert kept.prompt == kept.sources[0].name == hostile


def test_a_file_name_that_is_not_utf8_does_not_lose_the_motion() -> None:
    kept = Card.from_metadata(card(sources=(Source("clip\udcff.mp4", ""),)).to_metadata())
    assert kept.sources[0].name == "clip\ufffd.mp4"


def test_a_card_is_frozen() -> None:
    with pytest.raises(AttributeError):
        CARD.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("changes", [{"loss": math.nan}, {"fps": math.inf}, {"recipe": {"rate": -math.inf}}])
def test_a_number_that_is_none_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        card(**changes).to_metadata()


@pytest.mark.parametrize(
    "changes",
    [{"frames": "8"}, {"frames": 8.0}, {"frames": True}, {"prompt": None}, {"versions": {"vmc": 1}}],
)
def test_what_would_be_refused_when_read_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(Damaged):
        card(**changes).to_metadata()


@pytest.mark.parametrize("key", ["frames", "height", "width", "fps"])
def test_a_clip_without_frames_size_or_rate_is_damage(key: str) -> None:
    with pytest.raises(Damaged, match=key):
        card(**{key: 0}).to_metadata()


def test_unknown_keys_are_kept_and_written_again() -> None:
    metadata = CARD.to_metadata()
    metadata["vmc.card"] = json.dumps(json.loads(metadata["vmc.card"]) | {"mood": ["calm", 1, None]})
    metadata["vmc.mood"] = "calm"
    read = Card.from_metadata(metadata)
    assert read.extra == {"mood": ["calm", 1, None]}
    assert Card.from_metadata(read.to_metadata()) == read


def test_a_newer_schema_is_refused_with_a_next_step() -> None:
    with pytest.raises(Incompatible) as refusal:
        Card.from_metadata(CARD.to_metadata() | {"vmc.schema": str(SCHEMA + 1)})
    assert refusal.value.code == 7
    assert refusal.value.hint


@pytest.mark.parametrize("schema", ["", "0", "-1", "1.0", "one", "²", "9" * 5000])
def test_a_schema_that_is_no_number_is_damage(schema: str) -> None:
    with pytest.raises(Damaged):
        Card.from_metadata(CARD.to_metadata() | {"vmc.schema": schema})


@pytest.mark.parametrize("format", ["adapter", "checkpoint", "", None])
def test_another_format_is_no_motion(format: str | None) -> None:
    metadata = {key: text for key, text in CARD.to_metadata().items() if key != "vmc.format"}
    with pytest.raises(Damaged, match="not a motion"):
        Card.from_metadata(metadata if format is None else metadata | {"vmc.format": format})


@pytest.mark.parametrize("key", sorted(json.loads(CARD.to_metadata()["vmc.card"])))
@pytest.mark.parametrize("wrong", [..., None, True, "x", -1, 1.5, [1], {"a": 1}, [{"name": 1}], [[]]])
def test_a_key_that_is_missing_or_of_another_kind_is_damage_or_read(key: str, wrong: Any) -> None:
    table = json.loads(CARD.to_metadata()["vmc.card"])
    right = table.pop(key)
    if wrong is not ...:
        table[key] = wrong
    metadata = CARD.to_metadata() | {"vmc.card": json.dumps(table)}
    same_kind = type(wrong) is type(right) or (type(right) is float and type(wrong) is int)
    positive = key in ("frames", "height", "width", "fps")
    if same_kind and not (positive and wrong == -1) and key not in ("sources", "versions"):
        assert getattr(Card.from_metadata(metadata), key) == wrong
    else:
        with pytest.raises(Damaged):
            Card.from_metadata(metadata)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", "{", "nonsense", "[" * 100_000, '{"a":' * 100_000],
)
def test_a_card_that_is_no_json_is_damage(text: str) -> None:
    with pytest.raises(Damaged):
        Card.from_metadata(CARD.to_metadata() | {"vmc.card": text})


@pytest.mark.parametrize(
    "bad",
    [
        '"\\ud800"',
        '{"\\ud800":1}',
        "1e999",
        "NaN",
        "-Infinity",
        "9" * 400,
        "9" * 3_000_000,
        "9" * 3_000_000 + ".5",
        '{"a":1,"a":1}',
        "[" * 90_000 + "]" * 90_000,
    ],
)
def test_no_key_of_a_card_may_hold_what_cannot_be_told_again(bad: str) -> None:
    whole = CARD.to_metadata()["vmc.card"]
    with pytest.raises(Damaged):
        Card.from_metadata(CARD.to_metadata() | {"vmc.card": f'{whole[:-1]},"mood":{bad}}}'})


@given(TEXT)
@settings(max_examples=300)
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    for key in ("vmc.card", "vmc.schema", "vmc.format"):
        try:
            Card.from_metadata(CARD.to_metadata() | {key: text})
        except (Damaged, Incompatible):
            continue
        assert text in ("1", "motion")
