"""A signal that is held back is delivered."""

from __future__ import annotations

import signal

import pytest

from registry.signals import unbroken


def test_a_block_that_fails_still_delivers_what_it_held_back() -> None:
    def fail() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError

    with pytest.raises(KeyboardInterrupt), unbroken():
        fail()
    with unbroken(), unbroken():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="timers")
def test_the_end_of_ones_time_is_held_back_too() -> None:
    rang: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rang.append(number))
    try:
        with unbroken():
            signal.raise_signal(signal.SIGALRM)
            assert rang == []
        assert rang == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
