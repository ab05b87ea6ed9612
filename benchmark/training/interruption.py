"""Ctrl-C in two steps: the first asks a run to stop where it can be resumed, the second stops it at once."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Self

from flow_rag_vla.benchmark.command.stop_signals import StoppedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While entered, the first SIGINT or SIGTERM only sets ``requested``."""

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self.requested = False
        self._number = int(signal.SIGINT)
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.requested

    def check(self) -> None:
        """Stop here if asked to.

        Raises:
            StoppedError: it was asked to.
        """
        if self.requested:
            raise StoppedError(self._number)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.requested:
            raise StoppedError(number)
        self.requested, self._number = True, number
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping where the run can be resumed; once more stops it at once\n")

    def __enter__(self) -> Self:
        """Listen."""
        self._before = {number: signal.signal(number, self._heard) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave signals to whoever had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
