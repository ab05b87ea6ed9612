"""Two pathways at once: the flow acts, the failure memory is consulted beside it, and the flow never waits.

Retrieval that is ready when the flow asks steers this decision; retrieval that is late serves the next one and is
counted.  A ``clock`` says what "ready" means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import torch

from flow_rag_vla.agents.corrections.steering import SteeredChunks
from flow_rag_vla.agents.recall.clock import Clock, Pending, RealClock


@dataclass(frozen=True)
class Retrieved[R]:
    """An answer of the memory."""

    answer: R
    age: int
    """Decisions ago that it was asked for: 0 is this decision's own.  Rows reset since then must not use it."""


type Poll[R] = Callable[[], Retrieved[R] | None]
"""The memory's answer if it has arrived, else None; never waits.  To be asked when the flow's own chunk is there."""


@dataclass(frozen=True)
class FlowAnswer[R]:
    """What the flow pathway returns."""

    chunk: torch.Tensor
    """(num_envs, horizon, 7) actions."""
    corrected: torch.Tensor
    """(num_envs,) bool: rows that retrieval changed."""
    advice: R | None
    """What of the memory's answers it acted on; None where it asked for none."""
    steered: SteeredChunks | None = None
    """What it steered its chunks to; None where no row can have been."""


@dataclass(frozen=True)
class Decision[R]:
    """One answer of the processor."""

    chunk: torch.Tensor
    """(num_envs, horizon, 7) actions."""
    corrected: torch.Tensor
    """(num_envs,) bool: rows that retrieval changed."""
    advice: R | None
    """What of the memory's answers it acted on."""
    retrieval_age: int | None
    """Age of the answer that was at hand (see ``Retrieved``); None if there was none."""
    in_time: bool
    """This decision's own retrieval reached it, or it asked for none."""
    total_ms: float
    steered: SteeredChunks | None = None
    """What the flow's chunks were steered to."""


@dataclass(frozen=True)
class DualPathwayStatistics:
    """The implementation guide's statistics, and percentiles; None where nothing was measured."""

    decisions: int
    avg_flow_time: float | None
    """Seconds until the flow's own chunk is there."""
    avg_total_time: float | None
    """Seconds until the decision is taken."""
    rag_timeout_rate: float | None
    """Share of decisions that their own retrieval did not reach, of those that asked for one."""
    correction_rate: float | None
    """Share of rows (environments times decisions) that retrieval changed."""
    avg_frequency: float | None
    """Decisions a second that the average total time allows, Hz."""
    deadline_miss_rate: float | None
    """Share of decisions that took longer than the budget."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    """Percentiles of the total time."""


@dataclass
class _Tally:
    flow_ms: list[float] = field(default_factory=list)
    total_ms: list[float] = field(default_factory=list)
    asked: int = 0
    timeouts: int = 0
    corrected: torch.Tensor | int = 0
    """Counted on the device: a number would have to be waited for at each decision."""
    rows: int = 0


class DualPathwayProcessor[Q, R]:
    """Runs ``flow_fn`` and ``retrieve_fn`` side by side.

    The search is submitted first; then the flow runs in the caller's thread and polls.  At most one search is under
    way: while one is, later decisions ask for none.  A decision that is known to ask nothing costs what the flow costs:
    no thread is woken.  A query must not change while a search may still read it.
    """

    def __init__(
        self,
        flow_fn: Callable[[Q, Poll[R]], FlowAnswer[R]],
        retrieve_fn: Callable[[Q], R],
        max_latency_ms: float = 25.0,
        clock: Clock | None = None,
        asks: Callable[[Q], bool] | None = None,
    ) -> None:
        """Process queries with the two pathways.

        Args:
            flow_fn: Query and ``poll`` to an answer.
            retrieve_fn: Query to what the memory says.
            max_latency_ms: Once a decision has taken this long, ``poll`` finds nothing any more.
            clock: The wall clock with a worker thread by default.
            asks: Whether a query has anything to ask of the memory, as far as that is known without waiting; every
                query by default.
        """
        self._flow_fn, self._retrieve_fn, self._asks = flow_fn, retrieve_fn, asks
        self.max_latency_ms = max_latency_ms
        self.clock: Clock = RealClock() if clock is None else clock
        self._pending: Pending[R] | None = None
        self._asked_at = 0
        self._decision = 0
        self._tally = _Tally()

    def process(self, query: Q) -> Decision[R]:
        """Decide; raises what either pathway raises."""
        clock = self.clock
        clock.start()
        self._decision += 1
        at_hand: Retrieved[R] | None = None
        flow_ms: float | None = None
        if self._pending is not None and self._pending.ready():
            at_hand = self._take()
        asks = self._asks is None or self._asks(query)
        if asks and self._pending is None:
            self._asked_at = self._decision
            self._pending = clock.submit(lambda: self._retrieve_fn(query))

        def poll() -> Retrieved[R] | None:
            nonlocal at_hand, flow_ms
            clock.flow_is_done()
            elapsed_ms = clock.elapsed_ms()
            flow_ms = elapsed_ms if flow_ms is None else flow_ms
            if elapsed_ms > self.max_latency_ms:
                return None
            if self._pending is not None and self._pending.ready():
                at_hand = self._take()
            return at_hand

        answer = self._flow_fn(query, poll)
        clock.flow_is_done()
        total_ms = clock.elapsed_ms()
        age = None if at_hand is None else at_hand.age
        late = asks and age != 0
        self._count(answer, asks, late, total_ms if flow_ms is None else flow_ms, total_ms)
        return Decision(answer.chunk, answer.corrected, answer.advice, age, not late, total_ms, answer.steered)

    def _take(self) -> Retrieved[R]:
        pending, self._pending = self._pending, None
        if pending is None:
            raise RuntimeError("no retrieval is under way")
        return Retrieved(pending.result(), self._decision - self._asked_at)

    def _count(self, answer: FlowAnswer[R], asked: bool, late: bool, flow_ms: float, total_ms: float) -> None:
        tally = self._tally
        tally.flow_ms.append(flow_ms)
        tally.total_ms.append(total_ms)
        tally.asked += asked
        tally.timeouts += late
        tally.corrected = answer.corrected.sum() + tally.corrected
        tally.rows += answer.corrected.numel()

    def reset(self) -> None:
        """Forget a late answer: the episodes that it was meant for have ended."""
        self._pending = None

    def get_statistics(self) -> DualPathwayStatistics:
        """Statistics of all decisions so far."""
        tally = self._tally
        n = len(tally.total_ms)
        if n == 0:
            return DualPathwayStatistics(0, *[None] * 9)
        total_s = float(np.mean(tally.total_ms)) / 1000.0
        p50, p95, p99 = (float(p) for p in np.percentile(tally.total_ms, [50, 95, 99]))
        return DualPathwayStatistics(
            decisions=n,
            avg_flow_time=float(np.mean(tally.flow_ms)) / 1000.0,
            avg_total_time=total_s,
            rag_timeout_rate=tally.timeouts / tally.asked if tally.asked else None,
            correction_rate=int(tally.corrected) / tally.rows if tally.rows else None,
            avg_frequency=1.0 / total_s if total_s > 0 else None,
            deadline_miss_rate=float(np.mean(np.array(tally.total_ms) > self.max_latency_ms)),
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
        )

    def drain(self) -> None:
        """Wait for the search under way; the next decision finds its answer, or raises what it raised."""
        if self._pending is not None:
            self._pending.wait()

    def close(self) -> None:
        """Wait for the search under way and end its thread."""
        self._pending = None
        self.clock.close()

    def __enter__(self) -> Self:
        """The processor itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
