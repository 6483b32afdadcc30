"""Blocks that an impatient Ctrl-C does not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGHUP during the block; they are delivered on leaving it.

    Only handlers written in Python are held back: no other can raise amid the block, and they run in the
    main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[int] = []
    numbers = (getattr(signal, "SIGHUP", None), signal.SIGTERM, signal.SIGINT)
    handlers = {n: h for n in numbers if n is not None and callable(h := signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: late.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in late:
            signal.raise_signal(number)
