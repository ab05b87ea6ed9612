"""Signals that end a command: the first lets it end in order, the second ends it at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C, what ends a job, a terminal that closes, and Slurm's warning before it preempts."""
STOP_WITHIN_S = 8.0
"""Clusters kill what is still there some 10 s after a signal, or later."""


class StoppedError(KeyboardInterrupt):
    """One of ``STOP_SIGNALS`` came."""

    def __init__(self, number: int) -> None:
        """``number`` is the signal's."""
        super().__init__()
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell expects of a command that a signal ended."""
        return 128 + self.number


@contextmanager
def stop_signals() -> Iterator[None]:
    """In this block (of the main thread; elsewhere nothing changes) the first signal raises ``StoppedError``.

    The next one ends the process at once, whatever it does; what it started with ``attached`` ends with it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def heard(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)
        if len(came) > 1:
            os._exit(128 + number)
        raise StoppedError(number)

    # What nohup has told to be ignored stays ignored.
    heeded = [number for number in STOP_SIGNALS if not _is_nohup(number)]
    before = {number: signal.signal(number, heard) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_nohup(number: signal.Signals) -> bool:
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


@contextmanager
def ends_in_time(last_words: Callable[[], None], within_s: float = STOP_WITHIN_S) -> Iterator[None]:
    """While the block goes on, a signal ends the process ``within_s`` later at most.

    Python calls handlers between its own instructions; a compiler that works for minutes keeps it from them.

    Args:
        last_words: Called before the process is ended that way.
        within_s: Seconds that the block has to end in order.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        while (heard := reader.recv(1)) and heard[0] not in STOP_SIGNALS:
            pass
        if not heard:
            return  # the block has ended
        reader.settimeout(within_s)
        try:
            while (again := reader.recv(1)) and again[0] not in STOP_SIGNALS:
                pass
        except TimeoutError:
            again = heard
            last_words()
        if again:
            os._exit(128 + again[0])

    watcher = threading.Thread(target=watch, name="stop signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        watcher.join()
        reader.close()
