"""What of vmc and of this machine works: each check stands by itself, whatever is broken beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from registry import home
from registry.errors import RegistryError
from vmc_cli import errors
from vmc_cli.errors import VmcError
from vmc_cli.health import machine, places
from vmc_cli.health.finding import Finding

__all__ = ["Finding", "examined"]

_INTERNAL, _DISK = 1, 8


def examined() -> Iterator[Finding]:
    """All findings, one after the other, as they are made. Imports nothing heavy into this process."""
    yield from _standing("vmc", machine.program)
    yield from _standing("libraries", machine.libraries)
    available: float | None = None
    for finding in _standing("this machine", machine.probed):
        available = finding.facts.get("memory_free", available)
        yield finding
    folders: dict[str, Callable[[], Path]] = {
        "motions": home.motions_dir,
        "unfinished runs": home.checkpoints_dir,
        "cache": home.cache_dir,
    }
    for name, place in folders.items():
        yield from _standing(f"folder of {name}", partial(places.folder, name, place))
    yield from _standing("motions", places.motions)
    yield from _standing("unfinished runs", places.runs)
    yield from _standing("leftovers", places.leftovers)
    yield from _standing("models that judge", places.judged_by)
    yield from _standing("default backbone", places.default_backbone)
    for spec in places.known_backbones():
        yield from _standing(f"backbone {spec.name}", partial(places.backbone, spec, available))


def _standing(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What `check` finds; that it cannot is a finding, too."""
    try:
        yield from check()
    except (VmcError, RegistryError) as error:
        yield Finding(name, problem=errors.scrubbed(error.message), hint=error.hint, code=error.code)
    except Exception as error:
        problem = errors.scrubbed(f"{type(error).__name__}: {error}")
        yield Finding(name, problem=problem, code=_DISK if isinstance(error, OSError) else _INTERNAL)
