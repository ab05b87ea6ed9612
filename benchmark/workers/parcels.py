"""What travels with a unit to a machine that does not see the run's directory, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.workers.unit_queue import PROBE

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.benchmark.workers.barriers import Barriers
    from flow_rag_vla.benchmark.workers.unit_queue import UnitQueue

TO_START = (run_files.MANIFEST, run_files.PLAN, run_files.SCENARIOS)
"""What a worker reads before its first task."""

_LATENCY: tuple[str, ...] = (run_files.LATENCY, run_files.LATENCY_PROBE)


class Parcels:
    """Names of files of a run, relative to its directory."""

    def __init__(self, run_dir: Path, units: Sequence[Unit], queue: UnitQueue, barriers: Barriers) -> None:
        """Of the run in ``run_dir``, whose plan has ``units``."""
        self._run_dir, self._units, self._queue, self._barriers = run_dir, units, queue, barriers

    def needed_by(self, task: str) -> list[str]:
        """What ``task`` reads: the memory that it starts from, and all that went into that.

        Decisions are timed with the memory after E1.
        """
        if (unit := self._queue.unit(task)) is not None:
            before = self._barriers.needed_by(unit)
        else:
            before = tuple(unit for unit in self._units if unit.round == 0)
        names = list(_LATENCY)
        while before:
            folders = [self._relative(run_files.unit_folder(self._run_dir, unit.id)) for unit in before]
            memory = self._relative(run_files.memory_folder(self._run_dir, before[0].arm, before[0].round))
            names += [f"{folder}/{run_files.LESSONS}" for folder in folders]
            names += [f"{memory}/{name}" for name in (run_files.MEMORY, run_files.MERGED)]
            before = self._barriers.needed_by(before[0])
        return names

    def left_by(self, task: str) -> list[str]:
        """What ``task`` writes, the mark that it is done last."""
        if task == PROBE:
            return list(_LATENCY)
        folder = self._relative(run_files.unit_folder(self._run_dir, task))
        return [f"{folder}/{name}" for name in (run_files.EPISODES, run_files.LESSONS, run_files.DONE)]

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._run_dir))
