"""Barriers between rounds: what the blocks of an arm learned is merged into one memory, which is frozen meanwhile.

Blocks are merged in the order of the plan and new failures in that of scenario ids, so that the memory does not depend
on who ran a block, or when.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.registry import get_arm, reference_arm
from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.episodes.barrier import merge_into
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import MemoryBefore, MergedMemory, read_merged
from flow_rag_vla.benchmark.workers.taught_lessons import TaughtLessons

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.memory.failure_memory import FailureMemory


def remembers(unit: Unit) -> bool:
    """Whether what ``unit`` meets is merged into a memory."""
    return unit.round == 0 or get_arm(unit.arm).consults_memory


class Barriers:
    """The memories of a run between its rounds, merged when somebody first asks for them."""

    def __init__(
        self,
        run_dir: Path,
        units: Sequence[Unit],
        make_memory: Callable[[Path | None], FailureMemory],
    ) -> None:
        """Nothing is merged yet.

        Args:
            run_dir: Where units have left what they learned, and merged memories are kept.
            units: All units of the plan, in its order.
            make_memory: A copy of the memory in a file, or an empty one.
        """
        self._run_dir, self._units = run_dir, units
        self.make_memory = make_memory
        self._checked: dict[Path, list[tuple[int, int]]] = {}
        """Memories that were whole, with time and size of them and of what they were merged from."""

    def needed_by(self, unit: Unit) -> tuple[Unit, ...]:
        """The units that must be done before ``unit`` runs: those of its arm's previous round, or of E1."""
        if unit.round == 0 or not get_arm(unit.arm).consults_memory:
            return ()
        arm = reference_arm().name if unit.round == 1 else unit.arm
        return self._blocks(arm, unit.round - 1)

    def held_up_by(self, ids: Collection[str]) -> set[str]:
        """Ids of the units that need one of those called ``ids``, or one that does."""
        held: set[str] = set()
        for unit in self._units:
            if any(other.id in ids or other.id in held for other in self.needed_by(unit)):
                held.add(unit.id)
        return held

    def before(self, unit: Unit) -> Path | None:
        """The memory file that ``unit`` starts from; None in E1 and without memory. Errors as in ``after``."""
        needed = self.needed_by(unit)
        return self.after(needed[0]) if needed else None

    def memory_before(self, unit: Unit) -> MemoryBefore | None:
        """What ``unit`` starts from, as it is noted of the unit; None as in ``before``."""
        needed = self.needed_by(unit)
        merged = read_merged(self._run_dir, needed[0].arm, needed[0].round) if needed else None
        return None if merged is None else MemoryBefore(needed[0].arm, needed[0].round, merged.sha256)

    def after(self, unit: Unit) -> Path:
        """The memory of the arm and round of ``unit`` after all of its blocks, which are done.

        One that is not what they were merged into is merged again.

        Raises:
            ValueError: what a block has learned is missing or damaged.
        """
        folder = run_files.memory_folder(self._run_dir, unit.arm, unit.round)
        path, source = folder / run_files.MEMORY, self.before(unit)
        learned = {block.id: self._lessons(block) for block in self._blocks(unit.arm, unit.round)}
        for block, lessons in learned.items():
            if not lessons.is_file():
                raise ValueError(f"{lessons}: is missing, so nobody knows what unit {block} has learned")
        files = [*learned.values(), *([] if source is None else [source])]
        if path.is_file() and self._checked.get(path) == _stamps([path, *files]):
            return path
        hashes = {block: file_sha256(lessons) for block, lessons in learned.items()}
        before = None if source is None else file_sha256(source)
        merged = read_merged(self._run_dir, unit.arm, unit.round)
        known = None if merged is None or not path.is_file() else (merged.before, merged.lessons, merged.sha256)
        if known is None or known != (before, hashes, file_sha256(path)):
            self._merge(
                source, [TaughtLessons.of_file(lessons) for lessons in learned.values()], before, hashes, folder
            )
        self._checked[path] = _stamps([path, *files])
        return path

    def merge_done(self, is_done: Callable[[Unit], bool]) -> None:
        """Merge every arm's round whose blocks are all done; errors as in ``after``."""
        for unit in self._units:
            if unit.block == 0 and remembers(unit) and all(map(is_done, self._blocks(unit.arm, unit.round))):
                self.after(unit)

    def _merge(
        self,
        source: Path | None,
        parts: Sequence[TaughtLessons],
        before: str | None,
        hashes: dict[str, str],
        folder: Path,
    ) -> None:
        memory = self.make_memory(source)
        merge_into(memory, parts)
        # Not their parents: a run directory that is gone is not made again.
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        # Readers see a memory that is whole, or none.
        own = folder / f".{os.getpid()}.{run_files.MEMORY}"
        memory.save(own)
        sha256 = file_sha256(own)
        own.replace(folder / run_files.MEMORY)
        write_json_atomic(folder / run_files.MERGED, MergedMemory(len(memory), sha256, before, hashes))

    def _blocks(self, arm: str, round_: int) -> tuple[Unit, ...]:
        return tuple(unit for unit in self._units if unit.arm == arm and unit.round == round_)

    def _lessons(self, unit: Unit) -> Path:
        return run_files.unit_folder(self._run_dir, unit.id) / run_files.LESSONS


def _stamps(files: Sequence[Path]) -> list[tuple[int, int]]:
    return [(state.st_mtime_ns, state.st_size) for state in (file.stat() for file in files)]
