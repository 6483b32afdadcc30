"""The only package that writes, links, renames or deletes.

`os.*` is called by its full name throughout, so that tests can fail, record and kill at every single step.
"""

from registry.files.locks import lock
from registry.files.writing import (
    TRASH,
    adopt,
    discard,
    growing,
    make_folder,
    move,
    publish,
    remove,
    sweep,
)
from registry.owners import temp_name

__all__ = [
    "TRASH",
    "adopt",
    "discard",
    "growing",
    "lock",
    "make_folder",
    "move",
    "publish",
    "remove",
    "sweep",
    "temp_name",
]
