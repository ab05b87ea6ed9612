"""Worker processes, and who watches them: tasks handed out, hangs ended, failures tried again, progress shown.

A worker runs one unit after the other on one simulator, as a run in one process does: building it takes longer than
many units.  Whatever goes wrong ends the worker; what it was at is tried again in a fresh one, at most
``Limits.attempts`` times in all.
"""

from __future__ import annotations

import selectors
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flow_rag_vla.benchmark.workers.incidents import Incidents
from flow_rag_vla.benchmark.workers.processes import Worker
from flow_rag_vla.benchmark.workers.unit_queue import UnitQueue

_POLL_S = 0.5


@dataclass(frozen=True)
class Limits:
    """When a worker is given up."""

    attempts: int = 3
    """At a task, before it is given up; at a start that fails, before the pool is."""
    start_s: float = 1800.0
    """Until it is ready: the first start on a GPU compiles for minutes."""
    stall_s: float = 600.0
    """Without a word while it is at a task."""


@dataclass
class Slot:
    """Where one worker runs."""

    device: str
    num_envs: int
    worker: Worker | None = None


class Pool:
    """As many workers as there are devices in ``devices``, which may be the same one several times."""

    def __init__(
        self,
        start: Callable[[str, int], Worker],
        devices: Sequence[str],
        num_envs: int,
        incidents: Incidents,
        limits: Limits | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            start: Starts a worker on a device with a number of environments.
            devices: One a worker.
            num_envs: As planned; a worker whose GPU cannot hold them gets half of them, and so on.
            incidents: Where what goes wrong is kept.
            limits: When workers are given up.
        """
        self._start = start
        self._slots = [Slot(device, num_envs) for device in devices]
        self._incidents, self._limits = incidents, limits or Limits()
        self._selector = selectors.DefaultSelector()

    def run(
        self,
        queue: UnitQueue,
        on_start: Callable[[str], None],
        on_done: Callable[[str], None],
        on_progress: Callable[[int, str], None],
        say: Callable[[str], None],
    ) -> dict[str, str]:
        """Run what is in ``queue`` and can be run; returns what was given up, and why.

        Args:
            queue: The tasks.
            on_start: Called before a task is handed out.
            on_done: Called after one is done.
            on_progress: Called with the episodes that have ended and what is going on.
            say: Told in one line of every incident.

        Raises:
            RuntimeError: workers do not even start.
        """
        self._queue, self._on_done, self._say = queue, on_done, say
        self._failures: Counter[str | None] = Counter()
        self._given_up: dict[str, str] = {}
        finished = 0
        try:
            while True:
                self._hand_out(on_start)
                busy = [slot.worker for slot in self._slots if slot.worker is not None and slot.worker.task]
                starting = [slot.worker for slot in self._slots if slot.worker is not None and not slot.worker.ready]
                if not busy and (not starting or not self._ready_tasks()):
                    return self._given_up
                for key, _ in self._selector.select(_POLL_S):
                    finished += self._hear(key.data)
                self._end_stalled()
                ended = sum(worker.ended for worker in busy if worker.task)
                on_progress(finished + ended, f"{len(busy)} of {len(self._slots)} workers")
        finally:
            for slot in self._slots:
                if slot.worker is not None:
                    self._selector.unregister(slot.worker.output)
                    slot.worker.end()
                    slot.worker = None

    def _hand_out(self, on_start: Callable[[str], None]) -> None:
        """Give every worker that is ready a task; start as many as would find one."""
        for slot in self._slots:
            worker = slot.worker
            if worker is not None and worker.ready and not worker.task and (task := self._queue.take()) is not None:
                on_start(task)
                worker.give(task)
        starting = sum(slot.worker is not None and not slot.worker.ready for slot in self._slots)
        empty = [slot for slot in self._slots if slot.worker is None]
        wanted = self._ready_tasks() - starting if empty else 0
        for slot in empty[: max(0, wanted)]:
            slot.worker = self._start(slot.device, slot.num_envs)
            self._selector.register(slot.worker.output, selectors.EVENT_READ, slot)

    def _ready_tasks(self) -> int:
        """How many tasks could begin now, up to the number of slots."""
        taken = [task for task in (self._queue.take() for _ in self._slots) if task is not None]
        for task in reversed(taken):
            self._queue.put_back(task)
        return len(taken)

    def _hear(self, slot: Slot) -> int:
        """Take in what a worker says; returns the episodes of the tasks that it has done."""
        worker, finished = slot.worker, 0
        if worker is None:
            return 0
        messages = worker.read()
        if messages is None:
            self._failed(slot, None, out_of_memory=False)
            return 0
        for message in messages:
            if "ready" in message:
                worker.ready = True
                self._failures[None] = 0
            elif "ended" in message:
                worker.ended = message["ended"]
            elif "done" in message:
                task: str = message["done"]
                finished += self._queue.size(task)
                worker.task, worker.ended = None, 0
                self._queue.finished(task)
                self._on_done(task)
            elif "failed" in message:
                self._failed(slot, message["failed"], out_of_memory=message["out_of_memory"])
                break
        return finished

    def _end_stalled(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            worker = slot.worker
            if worker is None or (worker.ready and worker.task is None):
                continue
            limit = self._limits.stall_s if worker.ready else self._limits.start_s
            if now - worker.heard > limit:
                self._failed(slot, f"not a word for {limit:.0f} s", out_of_memory=False)

    def _failed(self, slot: Slot, what: str | None, *, out_of_memory: bool) -> None:
        """End the worker of ``slot`` and see to what it was at; ``what`` happened is how it ended where None."""
        worker = slot.worker
        if worker is None:
            return
        self._selector.unregister(worker.output)
        what = what or _described(worker.exit_code())
        worker.end()
        slot.worker, task = None, worker.task
        smaller = out_of_memory and slot.num_envs > 1
        if smaller:
            slot.num_envs //= 2
            answer = f"tried again with {slot.num_envs} environments"
        else:
            self._failures[task] += 1
            answer = f"tried again in a fresh process (attempt {self._failures[task] + 1} of {self._limits.attempts})"
        given_up = not smaller and self._failures[task] >= self._limits.attempts
        if given_up:
            answer = f"given up after {self._limits.attempts} attempts"
        self._incidents.note(task, what, answer, slot.num_envs)
        self._say(f"worker on {slot.device}, {task or 'starting'}: {what}; {answer}")
        if task is not None and given_up:
            self._given_up[task] = f"given up after {self._limits.attempts} attempts: {what}"
            self._queue.give_up(task)
        elif task is not None:
            self._queue.put_back(task)
        elif given_up:
            raise RuntimeError(f"workers do not start: {what}")


def _described(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def worker_environment(workers: int, cores: int, threads: int) -> dict[str, str]:
    """Variables that let ``workers`` on ``cores`` use each core once; torch has ``threads``, as planned, in each."""
    share = max(1, cores // workers)
    return {
        "FLOW_RAG_VLA_PHYSICS_THREADS": str(share),
        "OMP_NUM_THREADS": str(max(1, min(threads, share))),
        # Threads that wait for one another must not hold the core that the other needs.
        "GOMP_SPINCOUNT": "0",
        "OMP_WAIT_POLICY": "passive",
    }


def failure_message(error: BaseException) -> dict[str, Any]:
    """What a worker says of the error that ends it."""
    text = str(error)
    lost = ("out of memory", "failed to allocate")
    out_of_memory = isinstance(error, MemoryError) or any(words in text.lower() for words in lost)
    return {"failed": f"{type(error).__name__}: {text.splitlines()[0] if text else ''}", "out_of_memory": out_of_memory}
