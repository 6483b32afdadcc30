"""Writers with one fault each. A test of faults that lets one of them live proves nothing."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from registry.files import locks, writing

# What each mutant does instead; appended to what writes, so it takes the place of the function of that name.
CHANGES = {
    "no fsync": """
def _flush(file):
    pass
""",
    "no folder fsync": """
def _flush_folder(folder):
    pass
""",
    "late fsync": """
_really_flush, _really_place = _flush, _place
def _flush(file):
    pass
def _place(temp, path, replace=False, keep_old=False):
    _really_place(temp, path, replace, keep_old)
    file = os.open(path, os.O_RDWR)
    _really_flush(file)
    os.close(file)
""",
    "in place": """
def publish(path, content, replace=False, *, keep_old=False):
    with explained(path):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if replace else os.O_EXCL), 0o666)
        for chunk in [content] if isinstance(content, bytes) else content:
            for start in range(0, len(chunk), 4096):
                os.write(file, chunk[start : start + 4096])
                time.sleep(0.0002)
        _flush(file)
        os.close(file)
        _flush_folder(path.parent)
""",
    "check, then rename": """
def _place(temp, path, replace=False, keep_old=False):
    if not replace and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "")
    time.sleep(0.001)
    os.replace(temp, path)
    _flush_folder(path.parent)
""",
    "careless sweep": """
def abandoned(path):
    return path.name.startswith(".tmp-")
""",
    "interruptible": """
def unbroken():
    return suppress()
""",
    "no cleaning up": """
def discard(temp):
    pass
""",
}


def mutant(name: str, system: Any = os) -> ModuleType:
    """The package registry.files with the fault `name`, in a copy of its own that calls `system` as os.

    "" is without a fault. Its locks are in `locks`.
    """
    changed, locking = ModuleType(f"mutant_{name}"), ModuleType("locks")
    exec(_code(writing, CHANGES.get(name, "")), changed.__dict__)
    exec(_code(locks), locking.__dict__)
    changed.os = locking.os = system  # type: ignore[attr-defined]
    changed.lock, changed.locks = locking.lock, locking  # type: ignore[attr-defined]
    return changed


@cache
def _code(module: ModuleType, change: str = "") -> CodeType:
    path = str(module.__file__)
    replaced = [line.split("(")[0][4:] for line in change.splitlines() if line.startswith("def ")]
    assert all(hasattr(module, function) for function in replaced), f"this replaces nothing: {change}"
    return compile(Path(path).read_text(encoding="utf-8") + change, path, "exec")
