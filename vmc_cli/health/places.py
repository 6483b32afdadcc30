"""What lies on the disk: folders, motions, unfinished runs, leftovers, models."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from registry import home
from registry.files import TRASH
from registry.owners import abandoned
from registry.store import Store
from vmc_cli import backbones
from vmc_cli.backbones import Spec, cache
from vmc_cli.backbones.cache import sized
from vmc_cli.evaluation import judges
from vmc_cli.health.finding import Finding

LITTLE_SPACE = 1_000_000_000
"""Bytes: a motion of full weights and its checkpoints take as much."""

_DISK = 8
_ELSEWHERE = "VMC_HOME moves all that vmc keeps."


def folder(name: str, place: Callable[[], Path]) -> Iterator[Finding]:
    """Whether there can be written in the folder at `place`, which need not exist yet, and how much."""
    there = path = place()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    problem, hint = "", ""
    if not there.is_dir():
        problem, hint = f"{there} is no folder", f"Move it away. {_ELSEWHERE}"
    elif not os.access(there, os.W_OK | os.X_OK):
        problem, hint = f"{there} cannot be written to", f"Check its permissions. {_ELSEWHERE}"
    elif free < LITTLE_SPACE:
        problem, hint = f"only {sized(free)} are free there", f"Make some space. {_ELSEWHERE}"
    made = "" if there == path else ", not made yet"
    yield Finding(
        f"folder of {name}",
        f"{path}{made}, {sized(free)} free",
        problem=problem,
        hint=hint,
        code=_DISK if problem else 0,
        facts={"path": str(path), "free": free},
    )


def motions() -> Iterator[Finding]:
    """How many motions there are, and what in their folder is none."""
    store = Store.default()
    entries = store.entries()
    whole = [entry for entry in entries if entry.card]
    size = sum(entry.size for entry in whole)
    open_to_all = store.is_open_to_all()
    yield Finding(
        "motions",
        f"{len(whole)}, {sized(size)}",
        problem="anybody on this machine may change them" if open_to_all else "",
        hint=f"Close their folder: chmod o-w {shlex.quote(str(store.root))}" if open_to_all else "",
        code=_DISK if open_to_all else 0,
        facts={"count": len(whole), "bytes": size},
    )
    for entry in entries:
        if not entry.card:
            hint = entry.hint or f"Learn it again, or move the file out of {store.root}"
            yield Finding(f"motion {entry.name}", problem=entry.problem, hint=hint, code=entry.code)


def runs() -> Iterator[Finding]:
    """Learning that was interrupted, and the crashes that were written down."""
    kept = [path for path in _listed(home.checkpoints_dir()) if path.is_dir()]
    names, size = [path.name for path in kept], _size(kept)
    told = f"{', '.join(names)} ({sized(size)}); the same command with --resume goes on" if names else "none"
    yield Finding("unfinished runs", told, facts={"runs": names, "bytes": size})
    crashes = home.checkpoints_dir().parent / "crashes"
    if count := len(_listed(crashes)):
        yield Finding("crash logs", f"{count} in {crashes}", facts={"count": count})


def leftovers() -> Iterator[Finding]:
    """Temporary files of processes that were killed, and what lies in the trash."""
    roots = (home.motions_dir(), home.checkpoints_dir(), home.cache_dir())
    left = [path for root in roots for path in _all_in(root) if abandoned(path)]
    trash = _listed(home.motions_dir() / TRASH)
    size, thrown = _size(left), _size(trash)
    told = [f"{len(left)} temporary files of killed processes ({sized(size)})"] if left else []
    told += [f"{len(trash)} removed motions in {TRASH} ({sized(thrown)}), for a week"] if trash else []
    facts = {"temporary": len(left), "temporary_bytes": size, "trash": len(trash), "trash_bytes": thrown}
    yield Finding("leftovers", "; ".join(told) or "none", facts=facts)


def judged_by() -> Iterator[Finding]:
    """The models that judge pictures, as far as they were fetched."""
    fetched = judges.fetched()
    told = ", ".join(f"{name} ({sized(size)})" for name, size in fetched.items())
    yield Finding("models that judge", told or "none fetched", facts={"bytes": fetched})


def default_backbone() -> Iterator[Finding]:
    """The model that VMC_BACKBONE names, if it does."""
    if name := os.environ.get("VMC_BACKBONE"):
        yield Finding("default backbone", f"{backbones.find(name).name}, by VMC_BACKBONE")


def known_backbones() -> Iterable[Spec]:
    """The models of the table."""
    return backbones.BACKBONES.values()


def backbone(spec: Spec, available: float | None) -> Iterator[Finding]:
    """What of a model is on this disk, and whether so many bytes of memory, if known, are enough for it."""
    ready, size = backbones.is_ready(spec), sum(cache.bytes_here(origin) for origin in spec.origins)
    if not spec.origins:
        backbones.revision(spec)  # raises when its files are not whole
        place = "comes with vmc"
    elif ready:
        place = f"fetched, {sized(size)}"
    else:
        place = f"{sized(size)} fetched, vmc backbones pull {spec.name} goes on" if size else "not fetched"
    fits = _fitting(spec.memory_gib, available) if spec.origins else {"learn": True, "generate": True}
    yield Finding(
        f"backbone {spec.name}",
        f"{place}; {_told(spec.memory_gib, fits)}",
        facts={"ready": ready, "bytes": size, "memory_gib": dict(spec.memory_gib), "fits": fits},
    )


def _fitting(needed: Mapping[str, float], available: float | None) -> dict[str, bool | None]:
    """Whether there is memory to learn and to generate; None where that is not known."""
    return {
        what: None if available is None or what not in needed else needed[what] * 2**30 <= available
        for what in ("learn", "generate")
    }


def _told(needed: Mapping[str, float], fits: Mapping[str, bool | None]) -> str:
    if all(fits.values()):
        return "there is memory to learn and to generate"
    if None in fits.values():
        return "what memory it takes is not known"
    takes = ", ".join(f"{size:g} GiB to {what}" for what, size in needed.items() if what in fits)
    return f"there is memory to generate only ({takes})" if fits["generate"] else f"it is too large ({takes})"


def _listed(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _all_in(root: Path) -> Iterator[Path]:
    """All files and folders below; what cannot be read is left out."""
    for parent, folders, files in os.walk(root):
        yield from (Path(parent, name) for name in (*folders, *files))


def _size(paths: Iterable[Path]) -> int:
    return sum(map(_file_size, (file for path in paths for file in (path, *_all_in(path)))))


def _file_size(path: Path) -> int:
    """Bytes; 0 for a folder, and for what has just gone."""
    try:
        return path.lstat().st_size if not path.is_dir() else 0
    except OSError:
        return 0
