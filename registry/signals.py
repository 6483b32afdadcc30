"""Blocks that an impatient Ctrl-C does not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM, SIGHUP and SIGALRM during the block; they are delivered on leaving it.

    Only handlers written in Python are held back: no other can raise amid the block, and they run in the
    main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    names = ("SIGHUP", "SIGALRM", "SIGTERM", "SIGINT")  # Windows lacks the first two
    numbers = [number for name in names if (number := getattr(signal, name, None)) is not None]
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: late.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in late:
            signal.raise_signal(number)
