"""Work, counted: a test that reads a clock fails on a busy machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def counted() -> Iterator[list[int]]:
    """One number in a list: how many functions are called inside, built-in ones too."""
    calls = [0]

    def profile(frame: Any, event: str, argument: Any) -> None:
        calls[0] += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(before)
