"""Progress says step, loss and time left, fits any terminal, and is where a signal may stop the work."""

from __future__ import annotations

import io
import itertools
import os
import signal
import sys

import pytest

from vmc_cli import progress, signals, terminal
from vmc_cli.errors import Stopped
from vmc_cli.progress import Progress


class _Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes between two looks at the clock."""
    seconds = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setenv("TERM", "xterm")
    terminal.prepare()


def _screened(monkeypatch: pytest.MonkeyPatch) -> _Screen:
    """Called in the test itself: pytest exchanges stderr between a fixture and its test."""
    found = _Screen()
    monkeypatch.setattr(sys, "stderr", found)
    return found


def _halfway(losses: bool = True) -> Progress:
    shown = Progress()
    shown.stage("Learning", 100)
    for step in range(50):
        shown.step(0.5 if losses and step % 10 == 0 else None)
    return shown


def test_a_signal_that_came_before_an_error_is_what_ended_the_work() -> None:
    with signals.handled():
        error = ValueError()
        assert signals.overtaken(error) is error
        signals.step_begins()
        os.kill(os.getpid(), signal.SIGTERM)
        ended = signals.overtaken(error)
        assert isinstance(ended, Stopped)
        assert ended.code == 143


def test_waiting_within_a_step_can_be_stopped_at_once() -> None:
    def waits() -> None:
        signals.step_begins()
        with signals.between_steps():
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("it waits on")

    with signals.handled(), pytest.raises(Stopped):
        waits()
    with signals.handled():
        signals.step_begins()
        with signals.between_steps():
            pass
        os.kill(os.getpid(), signal.SIGTERM)  # waits for the end of the step again
        with pytest.raises(Stopped):
            signals.step_ends()


def test_a_terminal_shows_bar_step_loss_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    _screened(monkeypatch)
    line = _halfway().line(79)
    assert line.startswith("Learning  ━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  50/100  loss 0.5000  ")
    assert line.endswith(" left")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (79, ["Learning", "━", "50/100", "loss", "left"]),
        (45, ["Learning", "50/100", "loss", "left"]),
        (30, ["Learning", "50/100", "left"]),
        (20, ["50/100", "left"]),
        (8, ["50/100"]),
    ],
)
def test_narrow_terminals_keep_what_matters_most(
    width: int, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _screened(monkeypatch)
    line = _halfway().line(width)
    assert len(line) <= width
    assert [word for word in ["Learning", "━", "50/100", "loss", "left"] if word in line] == shown


@pytest.mark.parametrize("columns", ["1", "2", "20", "80"])
def test_no_line_ever_wraps(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _screened(monkeypatch)
    monkeypatch.setenv("COLUMNS", columns)
    shown = _halfway()
    lines = screen.getvalue().split("\r")
    assert len(lines) > 10
    assert all(len(line) < int(columns) for line in lines)
    assert "\x1b" not in screen.getvalue() + shown.line(1)


def test_a_title_from_a_folders_name_never_steers_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _screened(monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    shown = Progress()
    shown.stage("Converting \x1b]0;owned\x07\x1b[2Jmodel\n", 2)
    shown.step()
    assert "Converting ]0;owned[2Jmodel" in screen.getvalue()
    assert not set(screen.getvalue()) & {"\x1b", "\x07", "\n"}


def test_the_first_slow_steps_do_not_count_for_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    _screened(monkeypatch)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown = Progress()
    shown.stage("Learning", 102)
    for seconds in (60, 30, *[1] * 50):
        now[0] += seconds
        shown.step()
    assert shown.line(79).endswith("0:50 left")


def test_a_log_gets_few_short_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress()
    shown.stage("Learning", 100)
    for _ in range(100):
        shown.step(0.25)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert 5 <= len(lines) <= 15
    assert lines[0].startswith("Learning 1")
    assert "loss 0.2500" in lines[0]
    assert lines[-1].startswith("Learning: 100 steps in ")
    assert lines[-1].endswith("loss 0.2500")


def test_quiet_progress_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _screened(monkeypatch)
    terminal.be_quiet()
    _halfway()
    assert screen.getvalue() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_waits_for_the_end_of_the_step(number: int, code: int) -> None:
    shown = Progress()
    with signals.handled():
        shown.stage("Learning", 10)
        for _ in range(3):
            shown.step()
        os.kill(os.getpid(), number)
        finished = True  # the step is not cut in two
        with pytest.raises(Stopped) as stopped:
            shown.step()
    assert finished
    assert stopped.value.code == code


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_between_stages_a_signal_stops_at_once() -> None:
    shown = Progress()
    with signals.handled():
        shown.stage("Inverting", 1)
        shown.step()
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with signals.handled():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
