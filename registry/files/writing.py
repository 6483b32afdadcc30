"""Files are made whole, flushed, and then published; and they are moved, deleted and swept.

A new file is written beside its place under a temporary name, flushed, read back, and linked to its name,
which never overwrites; then the folder is flushed. So a name shows the old file, the new one or none, never
a part of one, also after a kill, a full disk or a power cut.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from registry.disk import CAREFUL, explained
from registry.owners import abandoned, temp_name
from registry.signals import unbroken

if sys.platform != "win32":
    import fcntl

TRASH = ".trash"
TRASH_DAYS = 7

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}
_NO_FOLDER_FLUSH = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}

_TRASHED = re.compile(r".*-(\d{8}T\d{6}Z)-[0-9a-f]{6}(?:\..*)?", re.DOTALL)
_STAMP = "%Y%m%dT%H%M%SZ"


def publish(
    path: Path, content: bytes | Sequence[bytes], replace: bool = False, *, keep_old: bool = False
) -> None:
    """Make the file `path` of the bytes of `content`, durably, all at once or not at all.

    replace: a file of that name gives way, into .trash beside it if `keep_old`. Signals wait until it is
    done. Raises Exists, DiskError; then nothing is left behind.
    """
    chunks = [content] if isinstance(content, bytes) else content
    temp = temp_name(path)
    with unbroken(), explained(path, needed=sum(map(len, chunks))), _discarded(temp):
        _write(temp, chunks)
        _read_back(temp, chunks)
        _place(temp, path, replace, keep_old)


def adopt(temp: Path, path: Path, replace: bool = False) -> None:
    """Publish as `path` what somebody else made at temp_name(path), a file or a folder.

    replace: a file gives way, or an empty folder; nothing else does. Raises Exists, DiskError. `temp` is gone
    either way.
    """
    with unbroken(), explained(path), _discarded(temp):
        _flush_tree(temp)
        _place(temp, path, replace)


@contextmanager
def growing(path: Path, size: int) -> Iterator[Callable[[bytes], None]]:
    """Append to the file `path`, made where it is missing, which will have `size` bytes when it is whole.

    Yields what writes. All that was written is flushed on leaving, however that is, and the file stays: so a
    download can go on later. Raises DiskError, then and when writing.
    """

    def write(chunk: bytes) -> None:
        with explained(path, needed=size):
            _write_all(file, chunk)

    with explained(path, needed=size):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | CAREFUL, 0o666)
    try:
        yield write
    finally:
        with explained(path, needed=size):
            try:
                _flush(file)
            finally:
                os.close(file)


def discard(temp: Path) -> None:
    """Delete the file or folder `temp`, and all in it, if it is there and can be deleted."""
    with suppress(OSError):
        if stat.S_ISDIR(os.lstat(temp).st_mode):
            import shutil  # noqa: PLC0415  (10 ms, and only videos in the making are folders)

            shutil.rmtree(temp, ignore_errors=True)
        else:
            os.unlink(temp)


def move(old: Path, new: Path) -> None:
    """Give the file or folder `old` the free name `new` in the same folder. Raises Exists, DiskError."""
    with unbroken(), explained(new):
        _place(old, new)
        with suppress(FileNotFoundError):
            os.unlink(old)
        _flush_folder(new.parent)


def remove(path: Path) -> Path:
    """Move the file `path` into .trash beside it, where sweep() leaves it for a week. Returns its place."""
    with unbroken(), explained(path):
        grave = _grave(path)
        os.rename(path, grave)
        _flush_folder(grave.parent)
        _flush_folder(path.parent)
        return grave


def make_folder(folder: Path) -> None:
    """Create `folder` and the folders above it, durably, where they are missing. Raises DiskError."""
    with explained(folder):
        if os.path.isdir(folder):
            return
        make_folder(folder.parent)
        with suppress(FileExistsError):
            os.mkdir(folder)
        _real_folder(folder)
        _flush_folder(folder.parent)


def sweep(folder: Path) -> None:
    """Delete what killed processes left in `folder`, and what lay in its .trash for a week. Never raises."""
    for name in _names(folder):
        if abandoned(folder / name):
            discard(folder / name)
    eldest = time.strftime(_STAMP, time.gmtime(time.time() - TRASH_DAYS * 86_400))
    with suppress(OSError):
        for name in _names(_real_folder(folder / TRASH)):
            if (trashed := _TRASHED.fullmatch(name)) and trashed[1] < eldest:
                discard(folder / TRASH / name)


def _write(temp: Path, chunks: Sequence[bytes]) -> None:
    """A failed flush is a failed file: the system may have dropped the bytes, so it is never tried twice."""
    file = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAREFUL, 0o666)
    try:
        for chunk in chunks:
            _write_all(file, chunk)
        _flush(file)
    finally:
        os.close(file)


def _write_all(file: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(file, rest) :]


def _read_back(temp: Path, chunks: Sequence[bytes]) -> None:
    with open(temp, "rb") as file:
        if not all(file.read(len(chunk)) == chunk for chunk in chunks) or file.read(1):
            raise OSError(errno.EIO, "what was written reads back differently")


def _place(temp: Path, path: Path, replace: bool = False, keep_old: bool = False) -> None:
    """Give `temp`, whole and flushed, the name `path` in the same folder, durably. It may keep its own."""
    if replace:
        if keep_old:
            _keep(path)
        os.replace(temp, path)
    else:
        try:
            os.link(temp, path)
        except OSError as error:
            if error.errno not in _NO_LINKS and not os.path.isdir(temp):
                raise
            _rename_to_free(temp, path)
    _flush_folder(path.parent)


def _rename_to_free(temp: Path, path: Path) -> None:
    """rename() that overwrites nothing, for folders and disks without hard links: the parent is the lock."""
    if sys.platform == "win32":
        os.rename(temp, path)  # there it never overwrites
        return
    with _opened_folder(path.parent) as parent:
        with suppress(OSError):
            fcntl.flock(parent, fcntl.LOCK_EX)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(temp, path)


def _keep(path: Path) -> None:
    """Give the file `path`, if there is one, a second name in .trash; if it can have only one, move it."""
    if not os.path.lexists(path):
        return
    grave = _grave(path)
    try:
        os.link(path, grave)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(path, grave)
    _flush_folder(grave.parent)


def _grave(path: Path) -> Path:
    """A free name for `path` in .trash beside it, with the time, by which sweep() goes."""
    trash = path.parent / TRASH
    make_folder(trash)
    stamp = time.strftime(_STAMP, time.gmtime())
    return _real_folder(trash) / f"{path.stem}-{stamp}-{os.urandom(3).hex()}{path.suffix}"


def _real_folder(folder: Path) -> Path:
    """`folder`; NotADirectoryError when it is a file, or a link that may lead anywhere."""
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return folder


def _flush(file: int) -> None:
    if sys.platform == "darwin":
        with suppress(OSError):  # not every disk can; fsync() alone leaves the bytes in the drive's cache
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def _flush_folder(folder: Path) -> None:
    """Make the names in `folder` durable, where a system can."""
    if sys.platform == "win32":
        return
    with _opened_folder(folder) as opened:
        try:
            os.fsync(opened)
        except OSError as error:
            if error.errno not in _NO_FOLDER_FLUSH:
                raise


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield opened
    finally:
        os.close(opened)


def _flush_tree(temp: Path) -> None:
    """Flush the file `temp`, or the folder and all the files in it."""
    if os.path.isdir(temp):
        for name in os.listdir(temp):
            _flush_tree(temp / name)
        _flush_folder(temp)
        return
    file = os.open(temp, os.O_RDWR | CAREFUL)
    try:
        _flush(file)
    finally:
        os.close(file)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


@contextmanager
def _discarded(temp: Path) -> Iterator[None]:
    try:
        yield
    finally:
        discard(temp)
