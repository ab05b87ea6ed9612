"""Adds up the time that functions take, for the benchmarks beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps


class Stopwatch:
    """Seconds within functions."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """``clock`` says what time it is: by the wall, or by the processor with ``time.process_time``."""
        self.seconds = 0.0
        self._clock = clock

    def timed[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        """``function``, its time added up."""

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            start = self._clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += self._clock() - start

        return run
