"""What is done to a store while something goes wrong, and what must be true of it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from registry.errors import RegistryError
from registry.store import Store
from tests.specimens import save, saved

OLD, NEW = 1, 2


@dataclass(frozen=True)
class Scene:
    """`before` and `act` on a store; `allowed` are the motions that may be found if `act` did not return."""

    before: Callable[[Store], object]
    act: Callable[[Store], object]
    allowed: tuple[dict[str, int], ...]
    done: dict[str, int]


SCENES = {
    "first save": Scene(
        before=lambda store: None,
        act=lambda store: save(store, "a", NEW),
        allowed=({}, {"a": NEW}),
        done={"a": NEW},
    ),
    "save": Scene(
        before=lambda store: save(store, "b", OLD),
        act=lambda store: save(store, "a", NEW),
        allowed=({"b": OLD}, {"a": NEW, "b": OLD}),
        done={"a": NEW, "b": OLD},
    ),
    "replace": Scene(
        before=lambda store: save(store, "a", OLD),
        act=lambda store: save(store, "a", NEW, replace=True),
        allowed=({"a": OLD}, {"a": NEW}),
        done={"a": NEW},
    ),
    "rename": Scene(
        before=lambda store: save(store, "a", OLD),
        act=lambda store: store.rename("a", "c"),
        allowed=({"a": OLD}, {"a": OLD, "c": OLD}, {"c": OLD}),
        done={"c": OLD},
    ),
    "remove": Scene(
        before=lambda store: save(store, "a", OLD),
        act=lambda store: store.remove("a"),
        allowed=({"a": OLD}, {}),
        done={},
    ),
}


def wrong(root: Path, scene: Scene, returned: bool) -> str:
    """What is wrong with the store after `scene`; "" when nothing is. Then it must still be fit for use."""
    store = Store(root / "motions")
    entries = store.entries()
    if bad := [f"{entry.name}: {entry.problem}" for entry in entries if entry.problem]:
        return f"listed as a problem: {bad}"
    try:
        found = {entry.name: saved(store, entry.name) for entry in entries}
    except (RegistryError, AssertionError) as error:
        return f"torn: {error!r}"
    if found != scene.done and (returned or found not in scene.allowed):
        return f"{'done, and lost' if returned else 'neither before nor after'}: {found}"
    try:
        for name in ("a", "fresh"):
            save(store, name, NEW, replace=True)
            assert saved(store, name) == NEW
    except (RegistryError, AssertionError) as error:
        return f"of no use any more: {error!r}"
    return ""
