"""How far a long piece of work is: step, loss and time left."""

from __future__ import annotations

import sys
import time

from vmc_cli import signals, terminal

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 15.0  # without a terminal: often enough to see that it lives, rarely enough for a log
_SETTLING_STEPS = 2  # the first steps compile and allocate; the time left would be far too long


class Progress:
    """Stages of steps, shown as one rewritten line on a terminal and as short lines elsewhere.

    Steps are also where a command can be stopped: `step` raises `Stopped` (a KeyboardInterrupt) when a signal
    came while the step ran, never in the middle of one.
    """

    def __init__(self) -> None:
        self._title = self._unit = ""
        self._total = self._done = 0
        self._loss: float | None = None
        self._began = self._settled = self._drawn = 0.0

    def stage(self, title: str, total: int, unit: str = "") -> None:
        """A piece of work of `total` steps begins; `unit` is what a step is, if it is not a step."""
        self._title, self._unit = terminal.safe(title), unit
        self._total, self._done, self._loss = total, 0, None
        self._began = self._settled = self._drawn = time.monotonic()
        if terminal.talks_progress():
            terminal.show_progress(self.line(terminal.columns() - 1))
        if total > 0:
            signals.step_begins()

    def step(self, loss: float | None = None) -> None:
        """One step is done. `loss` where it is known without waiting for the device."""
        self._done += 1
        self._loss = self._loss if loss is None else loss
        now = time.monotonic()
        if self._done == _SETTLING_STEPS:
            self._settled = now
        signals.step_ends()
        if self._done >= self._total:
            self._finish(now)
            return
        signals.step_begins()
        if terminal.talks_progress():
            if now - self._drawn >= _REDRAW_SECONDS:
                self._drawn = now
                terminal.show_progress(self.line(terminal.columns() - 1))
        elif now - self._drawn >= _LINE_SECONDS:
            self._drawn = now
            terminal.say(self.line(80))

    def line(self, width: int) -> str:
        """The state in words, as much of it as fits in `width` cells: bar, loss and time give way in turn."""
        left = self._left()
        parts = [
            self._title,
            self._bar(),
            f"{self._done}/{self._total} {self._unit}".rstrip(),
            "" if self._loss is None else f"loss {self._loss:.4f}",
            "" if left is None else f"{clock(left)} left",
        ]
        for given_way in (None, 1, 3, 0, 4):
            if given_way is not None:
                parts[given_way] = ""
            line = "  ".join(part for part in parts if part)
            if len(line) <= width:
                break
        return line

    def _left(self) -> float | None:
        if self._done <= _SETTLING_STEPS:
            return None
        pace = (time.monotonic() - self._settled) / (self._done - _SETTLING_STEPS)
        return pace * (self._total - self._done)

    def _bar(self, width: int = 20) -> str:
        if not terminal.talks_progress():
            return ""
        full, empty = ("━", "╌") if "utf" in (sys.stderr.encoding or "").lower() else ("#", "-")
        filled = width * self._done // max(1, self._total)
        return full * filled + empty * (width - filled)

    def _finish(self, now: float) -> None:
        loss = "" if self._loss is None else f", loss {self._loss:.4f}"
        steps = self._unit or ("step" if self._total == 1 else "steps")
        terminal.say(f"{self._title}: {self._total} {steps} in {clock(now - self._began)}{loss}")


def clock(seconds: float) -> str:
    """Minutes and seconds, 1:05, and hours where there are any."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
