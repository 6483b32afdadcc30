"""Many things by one command: what fails is told, the rest is done, and nothing is counted wrongly."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

import pytest

from registry.errors import Damaged
from vmc_cli import signals, terminal
from vmc_cli.commands.batches import Task, carried_out
from vmc_cli.errors import ClipError, Partly, Stopped

done: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()
    terminal.prepare()


def task(name: str, error: BaseException | None = None) -> Task:
    def do() -> None:
        if error:
            raise error
        done.append(name)

    return Task(name, {"clip": name}, do)


def test_all_are_done_and_nothing_is_raised(capfd: pytest.CaptureFixture[str]) -> None:
    assert carried_out([task("a"), task("b")], "clips were learned", as_json=False) is None
    assert done == ["a", "b"]
    assert capfd.readouterr().err.splitlines() == ["1 of 2: a", "2 of 2: b", "2 of 2 clips were learned."]


def test_the_code_is_that_of_the_first_failure_and_each_is_told_in_the_end(
    capfd: pytest.CaptureFixture[str],
) -> None:
    tasks = [task("a", Damaged("It is cut.", "Learn it.")), task("b"), task("c", ClipError("c is still."))]
    partly = carried_out(tasks, "clips were learned", again="Do it again.", as_json=False)
    assert isinstance(partly, Partly)
    assert (partly.code, partly.message, partly.hint) == (
        4,
        "Only 1 of 3 clips were learned.",
        "Do it again.",
    )
    assert done == ["b"]
    assert capfd.readouterr().err.splitlines()[-2:] == [
        "error: a: It is cut. Learn it.",
        "error: c is still.",
    ]


@pytest.mark.parametrize(
    ("error", "number"), [(OSError(28, "No space left"), 8), (MemoryError(), 9), (ValueError("odd"), 1)]
)
def test_any_error_has_its_code(
    error: Exception, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("VMC_HOME", str(tmp_path))
    partly = carried_out([task("a", error), task("b")], "clips were learned", as_json=True)
    assert (partly and partly.code, done) == (number, ["b"])


def test_stopped_it_counts_only_what_was_done() -> None:
    tasks = [task("a"), task("b", ClipError("no")), task("c", Stopped(15)), task("d")]
    with pytest.raises(Stopped) as caught:
        carried_out(tasks, "clips were learned", again="Go on.", as_json=False)
    assert caught.value.message.startswith("Stopped: 1 of 4 clips were learned;")
    assert (caught.value.code, caught.value.hint, done) == (143, "Go on.", ["a"])


def test_a_signal_that_came_before_a_task_failed_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def do() -> None:
        signals.step_begins()
        os.kill(os.getpid(), signal.SIGTERM)
        raise ClipError("the decoder was killed with us")

    with signals.handled(), pytest.raises(Stopped) as caught:
        carried_out([Task("a", {}, do), task("b")], "clips were learned", as_json=False)
    assert (caught.value.code, done) == (143, [])


def test_nobody_reads_any_more_so_nothing_more_is_done() -> None:
    with pytest.raises(BrokenPipeError):
        carried_out([task("a", BrokenPipeError()), task("b")], "clips were learned", as_json=True)
    assert done == []


def test_each_has_its_own_warnings_beside_the_common_ones() -> None:
    seen: list[list[str]] = []

    def warns(name: str, then: Callable[[object], None]) -> None:
        terminal.warn(name)
        then(list(terminal.warnings))

    terminal.warn("common")
    tasks = [Task(name, {}, partial(warns, name, seen.append)) for name in ("a", "b")]
    carried_out(tasks, "clips were learned", as_json=True)
    assert seen == [["common", "a"], ["common", "b"]]
