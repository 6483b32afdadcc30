"""Many things by one command, one after the other: what fails is told, and the rest is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmc_cli import errors, failures, signals, terminal
from vmc_cli.errors import Partly, Stopped


@dataclass(frozen=True)
class Task:
    """`do` does it and prints the outcome. `title` and `facts` say for people and in JSON what it is."""

    title: str
    facts: Mapping[str, Any]
    do: Callable[[], None]


@dataclass(frozen=True)
class _Failure:
    """Plain data: an error itself would keep alive what was being computed."""

    title: str
    code: int
    message: str
    hint: str

    @property
    def kind(self) -> str:
        return errors.KINDS.get(self.code, "internal")

    @property
    def sentence(self) -> str:
        return self.message if self.title in self.message else f"{self.title}: {self.message}"


def carried_out(tasks: Sequence[Task], done: str, *, again: str = "", as_json: bool) -> Partly | None:
    """Do all tasks; what to raise in the end if some failed, each of which was told by itself.

    `done` is how to tell of the others ("clips were learned"), `again` how to do what is left. Raises Stopped
    with what had been done.
    """
    common = list(terminal.warnings)
    failed: list[_Failure] = []
    number = 0
    try:
        for number, task in enumerate(tasks, start=1):
            terminal.say(f"{number} of {len(tasks)}: {task.title}")
            terminal.warnings[:] = common
            if failure := _failure_of(task):
                failed.append(failure)
                _tell(failure, task.facts, as_json)
    except Stopped as stopped:
        _list(failed, as_json)
        finished = f"{number - 1 - len(failed)} of {len(tasks)} {done}"
        stopped.message = f"Stopped: {finished}; nothing half-written was kept."
        stopped.hint = again
        raise
    finished = f"{len(tasks) - len(failed)} of {len(tasks)} {done}."
    if not failed:
        terminal.say(finished)
        return None
    _list(failed, as_json)
    return Partly(f"Only {finished}", again, failed[0].code)


def _failure_of(task: Task) -> _Failure | None:
    try:
        task.do()
    except BrokenPipeError:  # nobody reads what is printed any more
        raise
    except Exception as error:
        if isinstance(stopped := signals.overtaken(error), Stopped):
            raise stopped from error
        known = failures.told(error)
        return _Failure(task.title, known.code, errors.scrubbed(known.message), errors.scrubbed(known.hint))
    return None


def _tell(failure: _Failure, facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        error = {key: getattr(failure, key) for key in ("code", "kind", "message", "hint")}
        terminal.emit_json({**facts, "error": error})
    else:
        terminal.say(f"Failed: {failure.sentence}")


def _list(failed: Sequence[_Failure], as_json: bool) -> None:
    """All failures once more, where they are not searched for between the others."""
    for failure in failed if not as_json else ():
        terminal.error(failure.sentence, failure.hint, code=failure.code, kind=failure.kind, as_json=False)
