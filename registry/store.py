"""Store: a folder of motions, one file each. The folder is the registry: no index, no database.

A file's name is the motion's name, so copying a file shares a motion. One broken file hides nothing.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from registry import files, header, home, names
from registry.card import Card
from registry.disk import need_space
from registry.errors import BadName, Busy, Damaged, DiskError, Exists, NotFound, RegistryError
from registry.header import RawTensor

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Entry:
    """One file in the folder: its motion's card, or None and what the problem is. `size` in bytes.

    `hint` and `code` belong to the problem, as those of an error.
    """

    name: str
    card: Card | None
    problem: str
    size: int
    hint: str = ""
    code: int = 0


class Slot:
    """The right to save one motion, while Store.writing() lasts; `name` is what it is going to be called."""

    def __init__(self, path: Path, replace: bool, spares: Iterator[str]) -> None:
        self._path = path
        self._replace = replace
        self._spares = spares

    @property
    def name(self) -> str:
        return self._path.stem

    def require_space(self, size: int) -> None:
        """Ask before the work: raises DiskError unless the disk has room for twice `size` bytes."""
        need_space(self._path.parent, 2 * size)

    def publish(self, card: Card, tensors: Mapping[str, RawTensor]) -> Path:
        """Save the motion under this slot's name, whichever name the card has. Returns the file.

        All or nothing, flushed and read back; signals wait meanwhile. Raises Exists (someone without the
        lock was faster), DiskError, Damaged or ValueError for what could not be read again.
        """
        while True:
            try:
                content = _encoded(dataclasses.replace(card, name=self.name), tensors)
            except Damaged as error:
                raise Damaged(f"{self.name} cannot be saved: {error.message}.", error.hint) from error
            try:
                files.publish(self._path, content, self._replace, keep_old=True)
            except Exists:
                spare = next(self._spares, None)
                if spare is None:
                    raise
                self._path = self._path.with_name(f"{spare}{SUFFIX}")
            else:
                return self._path


class Store:
    """The motions in the folder `root`, which need not exist before the first is saved."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def default(cls) -> Store:
        """The store of this user, or of VMC_HOME."""
        return cls(home.motions_dir())

    def path(self, name: str) -> Path:
        """Where the motion `name` is or would be. Raises BadName."""
        return self.root / f"{names.check(name)}{SUFFIX}"

    def is_open_to_all(self) -> bool:
        """Whether anybody on this machine may change what is in the folder."""
        try:
            return os.name == "posix" and bool(os.stat(self.root).st_mode & stat.S_IWOTH)
        except OSError:
            return False

    def entries(self) -> list[Entry]:
        """All that lies in the folder, by name, hidden files aside. Only headers are read.

        A file that is no good motion is listed with its problem. Raises DiskError for an unreadable folder.
        """
        try:
            found = os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DiskError(f"{self.root} cannot be read: {error.strerror or error}.") from error
        shown = (name for name in found if not name.startswith(".") and not name.endswith(".lock"))
        return sorted(filter(None, map(self._entry, shown)), key=lambda entry: entry.name)

    def card(self, name: str) -> Card:
        """The card of a motion. Raises BadName, NotFound, Damaged, Incompatible, DiskError."""
        with self._opened(name) as file:
            return _named(name, header.read_header(file).metadata)

    def digest(self, name: str) -> str:
        """The sha256 of a motion's data, as it was taken when it was saved. Raises as card() does."""
        with self._opened(name) as file:
            return header.read_header(file).metadata.get("vmc.sha256", "")

    def load(self, name: str) -> tuple[Card, dict[str, RawTensor]]:
        """A motion, read whole into memory and its checksum compared. Raises as card() does."""
        import hashlib  # noqa: PLC0415  (listing needs none)

        with self._opened(name) as file:
            head = header.read_header(file)
            card = _named(name, head.metadata)
            digest = hashlib.sha256()
            tensors = {}
            for key, (dtype, shape, begin, end) in head.tensors.items():
                data = header.read_bytes(file, end - begin)
                digest.update(data)
                tensors[key] = RawTensor(dtype, shape, data)
            if digest.hexdigest() != head.metadata.get("vmc.sha256"):
                raise Damaged("its data has changed since it was saved")
            return card, tensors

    @contextmanager
    def writing(self, name: str, replace: bool = False) -> Iterator[Slot]:
        """A slot for a motion called `name`, which nobody else is given meanwhile; ask before the work.

        A motion that gives way lies in .trash for a week. Raises BadName, Exists, Busy, DiskError.
        """
        with self._claimed(name, replace, iter(())) as slot:
            yield slot

    @contextmanager
    def writing_new(self, name: str) -> Iterator[Slot]:
        """As writing(), with the first free one of `name`, `name_2`, `name_3`...; the slot tells which."""
        candidates = names.numbered(name)
        with ExitStack() as stack:
            for candidate in candidates:
                with suppress(Exists, Busy):
                    slot = stack.enter_context(self._claimed(candidate, False, candidates))
                    break
            yield slot

    def rename(self, old: str, new: str) -> Path:
        """Call the motion `old` `new`. Raises BadName, NotFound, Exists, Busy, DiskError."""
        target = self.path(new)
        if os.path.lexists(target):
            raise self._taken(new)
        with self._held(old) as path, files.lock(target):
            files.move(path, target)
        return target

    def remove(self, name: str) -> Path:
        """Move a motion to .trash, where it stays for a week; returns its place. Raises as rename() does."""
        with self._held(name) as path:
            return files.remove(path)

    @contextmanager
    def _claimed(self, name: str, replace: bool, spares: Iterator[str]) -> Iterator[Slot]:
        path = self.path(name)
        files.make_folder(self.root)
        with files.lock(path):
            files.sweep(self.root)
            if os.path.lexists(path) and not replace:
                raise self._taken(name)
            yield Slot(path, replace, spares)

    @contextmanager
    def _held(self, name: str) -> Iterator[Path]:
        """The file of an existing motion, locked."""
        path = self.path(name)
        if os.path.lexists(path):  # else there may be no folder to lock in
            with files.lock(path):
                if os.path.lexists(path):
                    yield path
                    return
        raise self._not_found(name)

    def _taken(self, name: str) -> Exists:
        return Exists(f"There is a motion {name} already.", "Choose another name, or replace it.")

    def _not_found(self, name: str) -> NotFound:
        import difflib  # noqa: PLC0415  (only for a typing error)

        near = difflib.get_close_matches(name, [entry.name for entry in self.entries() if entry.card], 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        return NotFound(f"There is no motion {name}.", f"{hint}vmc list shows all motions.")

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """The motion's open file; problems met with it are told with its path."""
        path = self.path(name)
        try:
            with header.opened(path) as file:
                yield file
        except NotFound:
            raise self._not_found(name) from None
        except RegistryError as error:
            raise type(error)(f"{path}: {error.message}.", error.hint) from error

    def _entry(self, file_name: str) -> Entry | None:
        """The entry of a file; None for one that has just gone."""
        name, suffix = os.path.splitext(file_name)
        path = self.root / file_name
        try:
            size = os.lstat(path).st_size
            if suffix != SUFFIX:
                return Entry(file_name, None, f"it is not a {SUFFIX} file", size, code=Damaged.code)
            names.check(name)
            with header.opened(path) as file:
                metadata, data_size = header.read_metadata(file)
            card = _named(name, metadata)
            if metadata.get("vmc.bytes") != str(data_size):
                raise Damaged(f"{data_size:,} bytes of data are left of {metadata.get('vmc.bytes')}")
        except (FileNotFoundError, NotFound):
            return None
        except BadName as error:
            return Entry(name, None, "the file needs another name", size, error.hint, error.code)
        except RegistryError as error:
            return Entry(name, None, error.message, size, error.hint, error.code)
        return Entry(name, card, "", size)


def _named(name: str, metadata: Mapping[str, str]) -> Card:
    """The card in `metadata` under the file's name, which counts: a copied file is another motion."""
    return dataclasses.replace(Card.from_metadata(metadata), name=name)


def _encoded(card: Card, tensors: Mapping[str, RawTensor]) -> list[bytes]:
    """The bytes of a motion's file: the header, then each tensor. Raises Damaged, ValueError."""
    import hashlib  # noqa: PLC0415

    # Large items first: so every tensor is aligned, as the safetensors library wants it.
    order = sorted(tensors, key=lambda key: (-header.ITEM_SIZE.get(tensors[key].dtype, 0), key))
    digest = hashlib.sha256()
    for key in order:
        digest.update(tensors[key].data)
    data = [tensors[key].data for key in order]
    metadata = card.to_metadata() | {"vmc.sha256": digest.hexdigest(), "vmc.bytes": str(sum(map(len, data)))}
    return [header.compose({key: tensors[key] for key in order}, metadata), *data]
