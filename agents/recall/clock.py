"""What time it is for a decision, and where and when retrievals run.

The wall clock with a worker thread, or a virtual one with given latencies, under which results do not depend on the
machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

import torch

from flow_rag_vla.agents.recall.own_stream import OwnStream, Queued


class Pending[T](Protocol):
    """A retrieval under way."""

    def ready(self) -> bool:
        """It has arrived by now."""
        ...

    def result(self) -> T:
        """Its answer; only to be asked for when ready.  Raises what the retrieval raised."""
        ...

    def wait(self) -> None:
        """Return when it has arrived, or failed."""
        ...


class Clock(Protocol):
    """Decides what time it is, and where retrievals run."""

    def start(self) -> None:
        """A decision begins."""
        ...

    def submit[T](self, retrieve: Callable[[], T]) -> Pending[T]:
        """Start a retrieval."""
        ...

    def flow_is_done(self) -> None:
        """The flow's own chunk is there."""
        ...

    def elapsed_ms(self) -> float:
        """Milliseconds since the decision began."""
        ...

    def close(self) -> None:
        """Give threads back."""
        ...


class RealClock:
    """The wall clock, with retrievals in one long-lived worker thread.

    On a CUDA device what is queued is not there yet: retrievals run in a stream of their own and have arrived when its
    kernels are done, and the flow's chunk is there when the caller's stream has caught up.
    """

    def __init__(self, threaded: bool = True, device: str = "cpu") -> None:
        """Without ``threaded`` a retrieval runs where it is submitted, before the flow.

        That is what a sequential agent does, and the better choice for searches of under 0.2 ms, which is what
        handing work to a thread costs.  ``device`` is where both pathways compute.
        """
        self._device = torch.device(device)
        on_cuda = self._device.type == "cuda"
        self._own_stream = OwnStream(self._device) if on_cuda and threaded else None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="retrieval") if threaded else None
        self._start = time.perf_counter()

    def start(self) -> None:
        """A decision begins."""
        self._start = time.perf_counter()

    def submit[T](self, retrieve: Callable[[], T]) -> Pending[T]:
        """Start ``retrieve`` in the worker thread, or run it."""
        if self._executor is None:
            return _VirtualPending(retrieve(), lambda: True)
        if self._own_stream is None:
            return _FuturePending(self._executor.submit(retrieve))
        asked = self._own_stream.caller_is_here()
        return _StreamPending(self._executor.submit(self._own_stream.run, retrieve, asked), retrieve, self._own_stream)

    def flow_is_done(self) -> None:
        """Wait until a CUDA device has computed it; on the CPU the wall clock needs no telling."""
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()

    def elapsed_ms(self) -> float:
        """Milliseconds since the decision began."""
        return 1000.0 * (time.perf_counter() - self._start)

    def close(self) -> None:
        """Wait for the retrieval under way and end the thread."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)


class VirtualClock:
    """Given latencies: both pathways run inline, one after the other, and arithmetic says which came first."""

    def __init__(self, flow_ms: float = 0.0, retrieval_ms: float = 0.0, interval_ms: float = 4000.0 / 30.0) -> None:
        """Decisions begin every ``interval_ms``, by default every four control steps, or later if the flow is slower.

        Raises:
            ValueError: a negative latency.
        """
        if min(flow_ms, retrieval_ms, interval_ms) < 0:
            raise ValueError(f"latencies must not be negative, got {flow_ms}, {retrieval_ms}, {interval_ms} ms")
        self.flow_ms, self.retrieval_ms = flow_ms, retrieval_ms
        self._interval_ms = max(interval_ms, flow_ms)
        self._start_ms = -self._interval_ms
        self._elapsed_ms = 0.0

    def start(self) -> None:
        """A decision begins."""
        self._start_ms += self._interval_ms
        self._elapsed_ms = 0.0

    def submit[T](self, retrieve: Callable[[], T]) -> Pending[T]:
        """Run ``retrieve`` now; it counts as arrived ``retrieval_ms`` later."""
        due_ms = self._start_ms + self.retrieval_ms
        return _VirtualPending(retrieve(), lambda: self._start_ms + self._elapsed_ms >= due_ms)

    def flow_is_done(self) -> None:
        """The flow's latency has passed since the decision began."""
        self._elapsed_ms = self.flow_ms

    def elapsed_ms(self) -> float:
        """Milliseconds since the decision began: none, or the flow's latency."""
        return self._elapsed_ms

    def close(self) -> None:
        """Nothing to give back."""


class _FuturePending[T]:
    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def ready(self) -> bool:
        return self._future.done()

    def result(self) -> T:
        return self._future.result()

    def wait(self) -> None:
        wait([self._future])


class _StreamPending[T]:
    def __init__(self, future: Future[Queued[T]], retrieve: Callable[[], T], own_stream: OwnStream) -> None:
        self._future, self._own_stream = future, own_stream
        # What it was asked with must not become free memory while kernels still read it.
        self._asked_with = retrieve

    def ready(self) -> bool:
        if not self._future.done():
            return False
        return self._future.exception() is not None or self._future.result().done.query()

    def result(self) -> T:
        return self._own_stream.hand_over(self._future.result())

    def wait(self) -> None:
        wait([self._future])
        if self._future.exception() is None:
            self._future.result().done.synchronize()


class _VirtualPending[T]:
    def __init__(self, answer: T, arrived: Callable[[], bool]) -> None:
        self._answer, self._arrived = answer, arrived

    def ready(self) -> bool:
        return self._arrived()

    def result(self) -> T:
        return self._answer

    def wait(self) -> None:
        """It was computed when it was asked for."""
