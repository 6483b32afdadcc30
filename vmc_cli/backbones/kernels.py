"""The kernels of xformers, which nothing but `xformers` here imports, and that for CUDA alone."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_NAME = "xformers"


def hide() -> None:
    """Let no library find xformers: diffusers imports it wherever it is, also without CUDA."""
    sys.modules[_NAME] = None  # type: ignore[assignment]  # how Python is told that there is none


def xformers() -> Any:
    """Its operators. To be called where there is CUDA.

    Raises ImportError, OSError or AttributeError where it is not installed, or was built for another PyTorch.
    """
    if sys.modules.get(_NAME, ...) is None:
        del sys.modules[_NAME]
    try:
        return import_module("xformers.ops")
    except BaseException:
        hide()  # a package of which a part failed may be there
        raise
