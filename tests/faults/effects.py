"""A stand-in for `os` that sees every call which changes the disk: to record it, to fail, or to die."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

EFFECTS = {"open", "write", "fsync", "close", "ftruncate", "link", "rename", "replace", "unlink", "mkdir"}


class Effects:
    """os, with around(step, name, call, args) in place of each effect; call() does the real thing."""

    def __init__(self, around: Callable[[int, str, Callable[[], Any], tuple[Any, ...]], Any]) -> None:
        self.steps = 0
        self._around = around

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in EFFECTS:
            return real

        def effect(*args: Any, **kwargs: Any) -> Any:
            self.steps += 1
            return self._around(self.steps, name, lambda: real(*args, **kwargs), args)

        return effect
