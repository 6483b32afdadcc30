"""One thing that was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """What was found: `value` in words, `facts` as numbers; a `problem` with what to do and its exit code."""

    name: str
    value: str = ""
    problem: str = ""
    hint: str = ""
    code: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
