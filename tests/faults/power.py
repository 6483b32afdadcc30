"""What a disk may hold after the power went: a model that is as unkind as POSIX allows.

File bytes are sure only after fsync of the file; names are sure only after fsync of their folder. Until then
any subset of the changes of names may have reached the disk, and of a file's bytes none, zeros, a part or
all. (After Pillai et al., "All file systems are not created equal", OSDI 2014.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

FOLDER = -1  # in place of a file's number


@dataclass
class Change:
    """A change of names: `add` gets a file's number or FOLDER, `drop` goes. Sure with any of its folders."""

    add: str | None
    number: int
    drop: str | None

    @property
    def folders(self) -> set[str]:
        return {os.path.dirname(path) for path in (self.add, self.drop) if path is not None}


@dataclass
class Disk:
    """What is sure, what is under way, and what the program sees, of all below `root`."""

    root: str
    sure_names: dict[str, int] = field(default_factory=dict)
    sure_bytes: dict[int, bytes] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    seen_names: dict[str, int] = field(default_factory=dict)
    seen_bytes: dict[int, bytes] = field(default_factory=dict)
    open_files: dict[int, str | int] = field(default_factory=dict)  # descriptor -> folder or number

    @classmethod
    def of(cls, root: Path) -> Disk:
        """The disk as it is below `root`, all of it sure."""
        disk = cls(str(root))
        for path in sorted(root.rglob("*")):
            number = FOLDER if path.is_dir() else len(disk.sure_bytes)
            disk.sure_names[str(path)] = number
            if number != FOLDER:
                disk.sure_bytes[number] = path.read_bytes()
        disk.seen_names, disk.seen_bytes = dict(disk.sure_names), dict(disk.sure_bytes)
        return disk

    def follow(self, _: int, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Do the effect for real, and in the model. For Effects."""
        result = call()
        paths = [str(arg) for arg in args if isinstance(arg, (str, Path))]
        if paths and not all(path.startswith(self.root) for path in paths):
            return result
        if name == "open":
            self._open(paths[0], int(args[1]), result)
        elif name == "write":
            number = self.open_files[args[0]]
            assert isinstance(number, int)
            self.seen_bytes[number] += bytes(args[1])[:result]
        elif name == "ftruncate":
            number = self.open_files[args[0]]
            assert isinstance(number, int)
            self.seen_bytes[number] = self.seen_bytes[number][: args[1]]
        elif name == "fsync":
            self._fsync(self.open_files[args[0]])
        elif name == "close":
            self.open_files.pop(args[0], None)
        elif name == "link":
            self._change(paths[1], self.seen_names[paths[0]], None)
        elif name in ("rename", "replace"):
            self._change(paths[1], self.seen_names[paths[0]], paths[0])
        elif name == "unlink":
            self._change(None, 0, paths[0])
        elif name == "mkdir":
            self._change(paths[0], FOLDER, None)
        return result

    def _open(self, path: str, flags: int, descriptor: int) -> None:
        if os.path.isdir(path):
            self.open_files[descriptor] = path
            return
        if path not in self.seen_names:
            number = len(self.seen_bytes)
            self.seen_bytes[number] = b""
            self.sure_bytes[number] = b""
            self._change(path, number, None)
        if flags & os.O_TRUNC:
            self.seen_bytes[self.seen_names[path]] = b""
        self.open_files[descriptor] = self.seen_names[path]

    def _fsync(self, opened: str | int) -> None:
        if isinstance(opened, int):
            self.sure_bytes[opened] = self.seen_bytes[opened]
            return
        for change in self.pending:
            if opened in change.folders:
                apply(change, self.sure_names)
        self.pending = [change for change in self.pending if opened not in change.folders]

    def _change(self, add: str | None, number: int, drop: str | None) -> None:
        change = Change(add, number, drop)
        apply(change, self.seen_names)
        self.pending.append(change)

    def states(self) -> Iterator[dict[str, bytes | None]]:
        """Every state that a loss of power now may leave, once: path -> bytes, or None for a folder."""
        told = set()
        for chosen in product((False, True), repeat=len(self.pending)):
            names = dict(self.sure_names)
            for change, reached in zip(self.pending, chosen, strict=True):
                if reached:
                    apply(change, names)
            numbers = sorted({number for number in names.values() if number != FOLDER})
            for contents in product(*map(self._contents, numbers)):
                data = dict(zip(numbers, contents, strict=True))
                state = {
                    path: None if number == FOLDER else data[number]
                    for path, number in names.items()
                    if all(str(above) in names for above in self._above(path))
                }
                key = frozenset(state.items())
                if key not in told:
                    told.add(key)
                    yield state

    def _contents(self, number: int) -> list[bytes]:
        sure, seen = self.sure_bytes[number], self.seen_bytes[number]
        if sure == seen:
            return [seen]
        return [sure, bytes(len(seen)), seen[: len(seen) // 2], seen]

    def _above(self, path: str) -> list[Path]:
        return [
            above
            for above in Path(path).parents
            if str(above).startswith(self.root) and str(above) != self.root
        ]


def apply(change: Change, names: dict[str, int]) -> None:
    """A change of names in a disk where an earlier one may not have happened."""
    if change.drop is not None:
        names.pop(change.drop, None)
    if change.add is not None:
        names[change.add] = change.number
