"""Where state lives. VMC_HOME moves all of it; nothing is created or looked for at import."""

from __future__ import annotations

import os
from pathlib import Path

from registry.errors import DiskError


def motions_dir() -> Path:
    """The folder of learned motions: the registry."""
    return _folder("data", "motions")


def checkpoints_dir() -> Path:
    """The folder of unfinished learning runs."""
    return _folder("state", "checkpoints")


def cache_dir() -> Path:
    """The folder of what can be made or fetched again."""
    return _folder("cache", "cache")


def _folder(kind: str, name: str) -> Path:
    """$VMC_HOME/<name>, else <name> in this system's folder for that kind. Raises DiskError without one."""
    if home := os.environ.get("VMC_HOME"):
        return Path(os.path.abspath(os.path.expanduser(home)), name)
    import platformdirs  # noqa: PLC0415  (18 ms, not needed with VMC_HOME)

    try:
        base: Path = getattr(platformdirs.PlatformDirs("vmc", appauthor=False), f"user_{kind}_path")
    except RuntimeError:
        base = Path("~")
    if not base.is_absolute():  # old versions of platformdirs leave "~" for a user without a home
        raise DiskError("This user has no home folder.", "Set VMC_HOME to a folder for all that vmc keeps.")
    return base if kind == "cache" else base / name
