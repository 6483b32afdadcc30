"""A recipe of the user's own: a TOML file that says what differs from one of the papers'."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from vmc_cli.errors import DiskError, NotFoundError, UsageError
from vmc_cli.recipe import UNSET, Recipe
from vmc_cli.recipes import KINDS, RECIPES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUFFIX = ".toml"
LARGEST = 64 << 10  # bytes: a recipe has about twenty lines

_LIKE = "like"


def chosen(method: str, preferred: Mapping[str, Mapping[str, Any]], kind: str | None = None) -> Recipe:
    """The recipe called ``method``, or the one in the file of that name when it ends in .toml.

    ``preferred`` holds, by method, the numbers that a backbone likes better; those for the ``kind`` of motion
    win over them, and what a file says wins over all.

    Raises:
        UsageError: there is no such method, or no such kind of it, or the file has unknown keys or impossible
            values.
        NotFoundError, DiskError: there is no such file, or it cannot be read.
    """
    if method.lower().endswith(SUFFIX):
        if kind is not None:
            raise UsageError(f"--kind is not for {method}.", 'Write its kind into the file: kind = "camera".')
        return _read(Path(method), preferred)
    if method not in RECIPES:
        hint = f"Choose one of {', '.join(RECIPES)}, or a file that ends in {SUFFIX}."
        raise UsageError(f"No method is called {method!r}.", hint)
    return _named(method, preferred, kind)


def _named(method: str, preferred: Mapping[str, Mapping[str, Any]], kind: str | None) -> Recipe:
    recipe = RECIPES[method].adjusted(preferred.get(method, {}))
    if kind is None:
        return recipe
    kinds = KINDS.get(method, {})
    if kind not in kinds:
        known = f"Choose one of {', '.join(kinds)}." if kinds else f"Leave out --kind; {_kinds()}"
        raise UsageError(f"The method {method} has no kind {kind!r}.", known)
    return recipe.adjusted({**kinds[kind], "kind": kind})


def _kinds() -> str:
    return "; ".join(f"{method} has {', '.join(kinds)}" for method, kinds in KINDS.items())


def _read(path: Path, preferred: Mapping[str, Mapping[str, Any]]) -> Recipe:
    told = _parsed(path)
    like = told.pop(_LIKE, None)
    if like is not None and not (isinstance(like, str) and like in RECIPES):
        raise UsageError(f"{path} is like {like!r}, which is no method.", f"There are {', '.join(RECIPES)}.")
    known = {field.name: str(field.type) for field in fields(Recipe)}
    for key in told:
        if key not in known:
            near = difflib.get_close_matches(key, [*known, _LIKE], 1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join([_LIKE, *known])}."
            raise UsageError(f"{path} has a key {key!r}, which no recipe has.", hint)
    values = {key: _value(path, key, value, known[key]) for key, value in told.items()}
    values = {"method": path.stem, "paper": "", **values}
    try:
        if like is not None:
            return _named(like, preferred, values.get("kind") or None).adjusted(values)
        missing = [
            field.name for field in fields(Recipe) if field.default is MISSING and field.name not in values
        ]
        if missing:
            raise UsageError(f"The recipe lacks {', '.join(missing)}.", f'Add them, or {_LIKE} = "vmc".')
        if (kind := values.get("kind")) and not any(kind in kinds for kinds in KINDS.values()):
            raise UsageError(f"No kind of motion is called {kind!r}.", f"Leave out kind; {_kinds()}")
        return Recipe(**values)
    except UsageError as error:
        raise UsageError(f"{path} cannot be used: {error.message}", error.hint) from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise NotFoundError(
            f"There is no recipe {path}.", "vmc methods lists those that need no file."
        ) from None
    except OSError as error:
        raise DiskError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is too long for a recipe.", "It holds lines like steps = 300.")
    try:
        told: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
        return told
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError too
        problem = " ".join(str(error).split())
        raise UsageError(f"{path} is not TOML: {problem}", "It holds lines like steps = 300.") from None


def _value(path: Path, key: str, value: Any, kind: str) -> Any:
    """`value` as a field of type `kind` holds it."""
    if key in UNSET and value == UNSET[key]:
        return None
    numbers = isinstance(value, list) and all(_is(each, int, float) for each in value)
    texts = isinstance(value, list) and all(_is(each, str) for each in value)
    fits, wanted = {
        "str": (_is(value, str), "a text in quotation marks"),
        "bool": (isinstance(value, bool), "true or false"),
        "int": (_is(value, int), "a whole number"),
        "int | None": (_is(value, int), f'a whole number, or "{UNSET.get(key)}"'),
        "float": (_is(value, int, float), "a number"),
        "float | None": (_is(value, int, float), f'a number, or "{UNSET.get(key)}"'),
        "tuple[str, ...]": (texts, "a list of texts"),
        "tuple[float, float]": (numbers and len(value) == 2, "a list of two numbers"),
    }[kind]
    if not fits:
        raise UsageError(f"{path} has {key} = {value!r}.", f"Write {wanted}.")
    if kind in ("float", "float | None"):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _is(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
