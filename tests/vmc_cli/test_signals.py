"""Whoever terminates us does not wait for long; whoever interrupts us does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT

LONG_STEP = """
import os, signal, sys, time
from vmc_cli import signals
from vmc_cli.errors import Stopped
signals.SECONDS = 0.2
with signals.handled():
    signals.step_begins()
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    time.sleep(1)
    try:
        signals.step_ends()
    except Stopped:
        print("whole")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers")
@pytest.mark.parametrize(
    ("name", "rc", "said"), [("SIGINT", 0, "whole\n"), ("SIGTERM", 143, ""), ("SIGHUP", 129, "")]
)
def test_a_long_step_is_waited_for_unless_we_are_terminated(name: str, rc: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LONG_STEP, name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (rc, said), done.stderr


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers")
def test_no_limit_outlives_the_command() -> None:
    from vmc_cli import signals

    with signals.handled():
        signals.step_begins()
        signal.raise_signal(signal.SIGTERM)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= signals.SECONDS
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
