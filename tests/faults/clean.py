"""Faults that need processes of their own, told to die: run in a process without threads, where fork is safe.

    python -m tests.faults.clean <function> <folder> [arguments]

prints as JSON what the function returns: mostly the list of what went wrong.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import registry.store
from registry.errors import DiskError, Exists, NotFound, RegistryError
from registry.store import Store
from tests.faults.effects import Effects
from tests.faults.mutants import mutant
from tests.faults.scenes import NEW, OLD, SCENES, Scene, wrong
from tests.specimens import card, save, saved, tensors

FINISHED, FAILED, DIED, INTERRUPTED = 0, 1, 99, 130
LARGE = 200_000  # items of two bytes: enough to be met in the middle of writing

Held = dict[str, int | None]  # what each motion was saved with; None: there is none
Allowed = dict[str, set[int | None]]


def forked(work: Callable[..., object], *arguments: object) -> int:
    """The number of a child process that does `work` and nothing else."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the child can deal with it
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return child
    status = FAILED
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        work(*arguments)
        status = FINISHED
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BaseException as error:
        print(repr(error), file=sys.stderr)
    finally:
        os._exit(status)


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def exits(root: Path, fault: str) -> list[str]:
    """Die just before and just after every step of every scene."""
    found = []
    for name, scene in SCENES.items():
        for after in (False, True):
            step, status = 0, DIED
            while status == DIED:
                step += 1
                place = root / f"{name}-{after}-{step}"
                place.mkdir()
                scene.before(Store(place / "motions"))
                status = status_of(forked(dying, scene, place, fault, step, after))
                if problem := wrong(place, scene, returned=status == FINISHED):
                    found.append(f"{name}, {'after' if after else 'before'} step {step}: {problem}")
                if status == FAILED:
                    found.append(f"{name}, step {step}: an error instead of death")
            assert step > 5
    return found


def dying(scene: Scene, place: Path, fault: str, step: int, after: bool) -> None:
    """Play the scene and die at `step` of it."""

    def die(now: int, _: str, call: Callable[[], Any], __: object) -> Any:
        if now == step and not after:
            os._exit(DIED)
        result = call()
        if now == step:
            os._exit(DIED)
        return result

    registry.store.files = mutant(fault, Effects(die))  # type: ignore[assignment]
    scene.act(Store(place / "motions"))


def kills(root: Path, fault: str, count: str) -> list[str]:
    """SIGKILL at random moments of endless saving; what was reported as saved must be there."""
    return struck(root, fault, int(count), signal.SIGKILL)


def interrupts(root: Path, fault: str, count: str) -> list[str]:
    """SIGINT at random moments of endless saving: as after a kill, and nothing else may lie about."""
    return struck(root, fault, int(count), signal.SIGINT)


def struck(root: Path, fault: str, count: int, number: signal.Signals) -> list[str]:
    chance = random.Random(7)
    registry.store.files = mutant(fault)  # type: ignore[assignment]
    store = Store(root)
    begin = time.perf_counter()
    save(store, "m0", OLD, LARGE)
    pace = time.perf_counter() - begin
    held: Held = {"m0": OLD}
    for turn in range(count):
        reports, report = os.pipe()
        start = turn % 100 + 1
        child = forked(saving, store, report, start)
        os.close(report)
        told = b"".join(os.read(reports, 1) for _ in range(chance.randrange(4)))
        time.sleep(chance.uniform(0, pace))
        status = ended(child, number)
        told += os.read(reports, 1 << 16)
        os.close(reports)
        held |= {f"m{fill % 3}": fill for fill in told}
        allowed: Allowed = {name: {fill} for name, fill in held.items()}
        next_one = (told[-1] if told else start - 1) + 1  # was under way: done, perhaps
        allowed.setdefault(f"m{next_one % 3}", {None}).add(next_one)
        held, found = judged(store, allowed)
        found += [name for name in os.listdir(root) if name.startswith(".tmp-") and number == signal.SIGINT]
        if found or status not in (-number, INTERRUPTED):
            return [f"turn {turn}, ended with {status}: {problem}" for problem in [*found, "and that is all"]]
    save(store, "last", OLD)
    return [f"not swept: {name}" for name in os.listdir(root) if name.startswith(".tmp-")]


def ended(child: int, number: signal.Signals) -> int:
    """The status of a child that is sent a signal, again and again: Python may lose a KeyboardInterrupt."""
    while True:
        os.kill(child, number)
        for _ in range(1000):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)


def saving(store: Store, report: int, start: int) -> None:
    """Save for ever, and report each motion once it is saved."""
    for fill in range(start, 256):
        save(store, f"m{fill % 3}", fill, LARGE, replace=True)
        os.write(report, bytes([fill]))
    time.sleep(60)


def judged(store: Store, allowed: Allowed) -> tuple[Held, list[str]]:
    """What the motions hold, and what is wrong: something else than is `allowed`."""
    entries = store.entries()
    problems = [f"{entry.name}: {entry.problem}" for entry in entries if entry.problem]
    held: Held = {}
    for name in {entry.name for entry in entries} | allowed.keys():
        try:
            held[name] = saved(store, name)
        except NotFound:
            held[name] = None
        except (RegistryError, AssertionError) as error:
            problems.append(f"{name}: {error!r}")
            continue
        if held[name] not in allowed.get(name, ()):
            problems.append(f"{name} holds {held[name]}, not one of {allowed.get(name)}")
    return held, problems


def crowd(root: Path, fault: str, motions: str) -> list[str]:
    """Eight processes save at once, and race for some names, while others list and sweep all the time."""
    writer = mutant(fault)
    registry.store.files = writer  # type: ignore[assignment]
    store = Store(root)
    root.mkdir(exist_ok=True)
    stop = root.parent / "stop"
    watchers = [forked(watching, store, stop), forked(sweeping, writer.sweep, root, stop)]
    writers = [forked(contending, store, who, int(motions)) for who in range(8)]
    found = [f"writer {who} failed" for who, child in enumerate(writers) if status_of(child) != FINISHED]
    stop.touch()
    found += [f"watcher {who} failed" for who, child in enumerate(watchers) if status_of(child) != FINISHED]
    own = {f"own_{who}_{n}": who + 1 for who in range(8) for n in range(int(motions))}
    won = [int(line) for line in (root.parent / "won").read_text().split()]
    if sorted(won) != list(range(int(motions))):
        found.append(f"races won: {sorted(won)}")
    entries = {entry.name for entry in store.entries()}
    shared = {f"shared_{n}" for n in range(int(motions))}
    new = {"new"} | {f"new_{n}" for n in range(2, 9)}
    if entries != set(own) | shared | new:
        found.append(f"listed: {sorted(entries)}")
    allowed: Allowed = {name: {who} for name, who in own.items()}
    allowed |= {name: set(range(1, 9)) for name in shared | new}
    found += judged(store, allowed)[1]
    left = {name for name in os.listdir(root) if not name.endswith(".safetensors")}
    return found + [f"left behind: {left}"] * bool(left)


def contending(store: Store, who: int, motions: int) -> None:
    for number in range(motions):
        save(store, f"own_{who}_{number}", who + 1, size=20_000)
        try:
            save(store, f"shared_{number}", who + 1, size=20_000)
        except Exists:
            continue
        except RegistryError as error:
            if error.code != Exists.code:
                raise
            continue
        with open(store.root.parent / "won", "a") as won:
            won.write(f"{number}\n")
    with store.writing_new("new") as slot:
        slot.publish(card(seed=who + 1), tensors(who + 1))


def watching(store: Store, stop: Path) -> None:
    seen: set[str] = set()
    while not stop.exists():
        entries = store.entries()
        assert not [entry for entry in entries if entry.problem], entries
        now = {entry.name for entry in entries}
        assert seen <= now, f"vanished: {seen - now}"
        for name in now - seen:
            saved(store, name)
        seen = now


def sweeping(sweep: Callable[[Path], None], root: Path, stop: Path) -> None:
    while not stop.exists():
        sweep(root)


def race(root: Path, fault: str, rounds: str) -> list[int]:
    """Eight processes save one name at the same moment, without locks: how many of them won each round."""
    writer = mutant(fault)
    writer.locks._acquire = lambda target: os.open(os.devnull, os.O_RDONLY)
    registry.store.files = writer  # type: ignore[assignment]
    wins = []
    for number in range(int(rounds)):
        store = Store(root / str(number))
        start = time.monotonic() + 0.05
        for child in [forked(racing, store, start) for _ in range(8)]:
            status_of(child)
        wins.append(len(list(store.root.glob("won-*"))))
        assert saved(store, "a") == OLD
    return wins


def racing(store: Store, start: float) -> None:
    with store.writing("a") as slot, suppress(Exists):
        while time.monotonic() < start:
            pass
        slot.publish(card(seed=OLD), tensors(OLD))
        (store.root / f"won-{os.getpid()}.txt").touch()


def full(root: Path, *_: str) -> list[str]:
    """A real limit on the size of files, at every size up to what a motion needs."""
    store, found = Store(root), []
    needed = save(store, "old", OLD).stat().st_size
    for size in (0, 1, 7, 8, 100, needed // 2, needed - 1, needed):
        child = forked(limited, store, size)
        expected = FINISHED if size == needed else DIED
        if (status := status_of(child)) != expected:
            found.append(f"limit {size}: {status}")
        if {entry.name: entry.problem for entry in store.entries()} != {"old": ""} and status == DIED:
            found.append(f"limit {size}: {store.entries()}")
        if left := [name for name in os.listdir(root) if name.startswith(".tmp")]:
            found.append(f"limit {size}: left behind {left}")
        if saved(store, "old") != OLD:
            found.append(f"limit {size}: the old one is lost")
    return found


def limited(store: Store, size: int) -> None:
    with store.writing("new") as slot:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            slot.publish(card(seed=NEW), tensors(NEW))
        except DiskError as error:
            os._exit(DIED if "bytes needed" in error.message else FAILED)


def closed(root: Path, *_: str) -> list[str]:
    """A folder that may be read and not be written, as a user to whom that matters."""
    store = Store(root)
    save(store, "a", OLD)
    root.chmod(0o555)
    root.parent.chmod(0o755)
    told = root.parent / "told"
    told.touch(0o666)
    told.chmod(0o666)
    child = forked(lambda: told.write_text(json.dumps(trying(store))))
    status = status_of(child)
    root.chmod(0o755)
    return json.loads(told.read_text()) if status == FINISHED else [f"ended with {status}"]


def trying(store: Store) -> list[str]:
    if os.geteuid() == 0:  # to root no folder is closed
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    if os.access(store.root, os.W_OK):
        return ["the folder is not closed, so this proves nothing"]
    found = []
    if saved(store, "a") != OLD or [entry.problem for entry in store.entries()] != [""]:
        found.append("reading does not work")
    attempts: dict[str, Callable[[], object]] = {
        "save": lambda: save(store, "b"),
        "save as new": lambda: store.writing_new("b").__enter__(),
        "replace": lambda: save(store, "a", replace=True),
        "rename": lambda: store.rename("a", "b"),
        "remove": lambda: store.remove("a"),
        "first save": lambda: save(Store(store.root / "below"), "b"),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            found.append(f"{name} passed")
        except DiskError as error:
            if "Permission denied" not in error.message or not error.hint:
                found.append(f"{name}: {error}")
    return found


if __name__ == "__main__":
    function, folder, *arguments = sys.argv[1:]
    print(json.dumps(globals()[function](Path(folder), *arguments)))
