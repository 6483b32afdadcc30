"""Fetch a model once: resumable, verified file by file, and from then on used without a network."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from registry import files
from registry.disk import need_space
from vmc_cli import signals, terminal
from vmc_cli.backbones import cache, converting, hashes, hub
from vmc_cli.backbones.cache import File, Record
from vmc_cli.backbones.spec import Origin
from vmc_cli.errors import NetworkError, Stopped
from vmc_cli.progress import Progress

_ATTEMPTS = 3  # without a single byte more
_MEGABYTE = 1_000_000
_Result = TypeVar("_Result")


def _anything(path: Path) -> None:
    """Every file will do."""


def pull(
    name: str, origins: Iterable[Origin], progress: Progress, accept: Callable[[Path], None] = _anything
) -> int:
    """Fetch what of the model called ``name`` is not here, and verify what is; the size of all in bytes.

    What was once written down of its files is what they are compared with. ``accept`` is shown each file when
    it is here, in the order of their names, and what it raises ends the fetching. Raises:
        NetworkError: the hub cannot be reached, refuses, or sends something else.
        hub.Unusable: there are no weights, or only pickles.
        DiskError: there is no room. Busy: another process fetches it.
        Stopped: a signal came; as with the others, the next pull goes on from there.
    """
    with _fetching():
        return sum(_pull(name, origin, progress, accept) for origin in origins)


def convert(name: str, origins: Iterable[Origin], progress: Progress) -> list[Path]:
    """Fetch the pickles of a model that has no safetensors, and convert them once; the new files.

    The pickles are deleted then. Raises as `pull` and `converting.convert` do.
    """
    with _fetching():
        return [path for origin in origins for path in _convert(name, origin, progress)]


def remove(origins: Iterable[Origin]) -> int:
    """Delete the fetched files; the bytes that were freed.

    What was written down of them stays, for the next pull. Raises Busy while they are fetched.
    """
    freed = 0
    for origin in origins:
        if not cache.folder(origin).is_dir():
            continue
        with files.lock(cache.record_path(origin)):
            freed += cache.bytes_here(origin)
            files.discard(cache.folder(origin))
    return freed


@contextmanager
def _fetching() -> Iterator[None]:
    """What holds for all that is fetched: who is asked is told, and how to go on when it is stopped."""
    if os.environ.get("HF_ENDPOINT"):
        terminal.warn(f"HF_ENDPOINT is set: {hub.endpoint()} is believed to be the hub.")
    try:
        yield
    except Stopped as stopped:
        stopped.hint = "The same command goes on from there."
        raise


def _pull(name: str, origin: Origin, progress: Progress, accept: Callable[[Path], None]) -> int:
    files.make_folder(cache.record_path(origin).parent)
    with files.lock(cache.record_path(origin)):
        known = cache.record(origin)
        record = known or _patiently(lambda: hub.resolve(origin))
        if record.pickles and not _is_converted(origin, record):
            parts = ", ".join(sorted({path.rpartition("/")[0] for path in record.pickles} - {""}))
            where = f" for {parts}" if parts else ""
            raise hub.Unusable(
                f"{origin.repository} has no weights in safetensors{where}, only pickles, at its revision "
                f"{record.commit[:12]}; another may have them.",
                f"Fetch and convert these once: vmc backbones convert {name}",
            )
        if known is None:
            cache.write(origin, record)
        done = _fetched(name, origin, record, record.files, progress, accept=accept)
        if done != record.files:
            cache.write(origin, replace(record, files=done))
        return sum(file.size for file in done.values())


def _convert(name: str, origin: Origin, progress: Progress) -> list[Path]:
    place = cache.folder(origin)
    files.make_folder(place)
    with files.lock(cache.record_path(origin)):
        record = cache.record(origin) or _patiently(lambda: hub.resolve(origin))
        if not record.pickles or _is_converted(origin, record):
            return []
        cache.write(origin, record)
        for old in record.converted:
            files.discard(place / old)
        plain = {path: file for path, file in record.files.items() if path not in record.converted}
        need_space(place, 2 * sum(file.size for file in record.pickles.values()))
        done = _fetched(name, origin, record, {**plain, **record.pickles}, progress)
        made = converting.convert(place, progress)
        pickles = {path: done.pop(path) for path in record.pickles}
        for new in made:
            done[new.relative_to(place).as_posix()] = File(new.stat().st_size, hashes.sha256(new))
        cache.write(origin, Record(record.commit, done, pickles))
        for path in pickles:
            files.discard(place / path)
        return made


def _is_converted(origin: Origin, record: Record) -> bool:
    """Whether what became of the pickles is here, as it was made."""
    for path in record.converted:
        file = record.files.get(path)
        if file is None or cache.size_of(cache.folder(origin) / path) != file.size:
            return False
        found = _Digest(file)
        found.add(cache.folder(origin) / path)
        if not found.agrees():
            return False
    return True


def _fetched(
    name: str,
    origin: Origin,
    record: Record,
    wanted: Mapping[str, File],
    progress: Progress,
    *,
    accept: Callable[[Path], None] = _anything,
) -> dict[str, File]:
    """Have all ``wanted`` files, verified; what is known of them now."""
    total = sum(file.size for file in wanted.values())
    here = sum(_here(origin, path, file) for path, file in wanted.items())
    terminal.say(
        f"{origin.repository} at {record.commit[:12]}: {cache.sized(total)}, {cache.sized(here)} of it here."
    )
    need_space(cache.folder(origin), total - here)
    meter = _Meter(progress, f"Fetching {name}", total)
    done = {}
    for path, file in wanted.items():
        done[path] = _complete(origin, record.commit, path, file, meter)
        accept(cache.folder(origin) / path)
    meter.finish()
    return done


def _here(origin: Origin, path: str, file: File) -> int:
    """Bytes of a file that need not be fetched, as far as sizes tell."""
    place = cache.folder(origin) / path
    whole = cache.size_of(place)
    return file.size if whole == file.size else min(file.size, cache.size_of(_part(place)) or 0)


def _complete(origin: Origin, commit: str, path: str, file: File, meter: _Meter) -> File:
    """Have the file at ``path``, verified; returns what is known of it now, its sha256 too."""
    place = cache.folder(origin) / path
    if cache.size_of(place) == file.size:
        found = _Digest(file)
        found.add(place)
        if found.agrees():
            meter.add(file.size)
            return found.known()
        terminal.warn(f"{place} was changed since it was fetched; it is fetched again.")
    files.discard(place)
    files.make_folder(place.parent)
    for _ in range(2):
        found = _fetch(origin, commit, path, file, meter)
        if found.agrees():
            files.move(_part(place), place)
            return found.known()
        files.discard(_part(place))
        meter.add(-file.size)
    raise NetworkError(
        f"{hub.endpoint()} sends something else for {path} of {origin.repository} than is known of it.",
        "Try again later, or let HF_ENDPOINT name another mirror.",
    )


def _fetch(origin: Origin, commit: str, path: str, file: File, meter: _Meter) -> _Digest:
    """Let the part of a file grow to its size, from where it is."""
    part = _part(cache.folder(origin) / path)
    if (cache.size_of(part) or 0) > file.size:
        files.discard(part)
    found = _Digest(file)
    found.add(part)
    meter.add(found.size)
    with files.growing(part, file.size) as write:

        def grow() -> None:
            for chunk in hub.read(origin, commit, path, found.size):
                piece = chunk[: file.size - found.size]
                write(piece)
                found.update(piece)
                meter.add(len(piece))
                if len(piece) < len(chunk) or found.size == file.size:
                    return
            raise hub.TryAgain(
                f"{hub.endpoint()} sends {found.size:,} of the {file.size:,} bytes of {path} and ends."
            )

        while found.size < file.size:
            _patiently(grow, lambda: found.size)
    return found


def _patiently(ask: Callable[[], _Result], reached: Callable[[], int] = lambda: 0) -> _Result:
    """Ask, and again after a fault that may be over, until nothing more comes several times in a row."""
    failed = 0
    while True:
        before = reached()
        try:
            return ask()
        except hub.TryAgain as fault:
            failed = 1 if reached() > before else failed + 1
            if failed == _ATTEMPTS:
                raise fault.final() from fault
            if fault.wait > 1:
                terminal.say(f"{fault.sentence} Waiting for {fault.wait:.0f} s.")
            with signals.between_steps():
                time.sleep(fault.wait)


def _part(place: Path) -> Path:
    return place.with_name(place.name + cache.PART)


class _Digest:
    """What the bytes so far hash to, compared with what is known of the whole file."""

    def __init__(self, file: File) -> None:
        self.size = 0
        self._file = file
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)  # how git names a file

    def update(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._sha256.update(chunk)
        self._git.update(chunk)

    def add(self, path: Path) -> None:
        """Everything in a file, if there is one."""
        if cache.size_of(path) is None:
            return
        with path.open("rb") as opened:
            while chunk := opened.read(1 << 20):
                self.update(chunk)

    def agrees(self) -> bool:
        known, found = self._file, self.known()
        same = found.sha256 == known.sha256 if known.sha256 else self._git.hexdigest() == known.git
        return same and self.size == known.size

    def known(self) -> File:
        return replace(self._file, sha256=self._sha256.hexdigest())


class _Meter:
    """Bytes as steps of progress of a megabyte each."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress, self._total = progress, -(-total // _MEGABYTE)
        self._bytes = self._shown = 0
        progress.stage(title, self._total, "MB")

    def add(self, size: int) -> None:
        """``size`` more are here; fewer if something has to be fetched again."""
        self._bytes += size
        while self._shown < min(self._bytes // _MEGABYTE, self._total - 1):
            self._shown += 1
            self._progress.step()

    def finish(self) -> None:
        """All are here."""
        while self._shown < self._total:
            self._shown += 1
            self._progress.step()
