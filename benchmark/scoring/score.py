"""Scores a run directory: from its units' episodes to summary and timing, without a simulator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import IncompleteError, UsageError, resume_flag
from flow_rag_vla.benchmark.episodes.episode_log import write_episodes_parquet
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.planned_units import (
    FinishedUnit,
    PlannedUnit,
    UnfinishedUnitError,
    UnitMeasures,
    is_done,
    read_planned_units,
    read_unit,
)
from flow_rag_vla.benchmark.scoring.starts import Starts
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Timing


class IncompleteRunError(IncompleteError):
    """A run that has not run everything that it planned."""


def score_run(run_dir: Path, on_notice: Callable[[str], None] | None = None) -> Summary:
    """Merge the episodes of a complete run, and write and return its summary; its timing is written, too.

    Scoring again writes the same bytes.

    Args:
        run_dir: As ``scripts/benchmark.py`` makes it.
        on_notice: Told in one line of everything that was dropped; by default it goes to stderr.

    Raises:
        UsageError: it is no run directory.
        IncompleteRunError: units are missing.
        ValueError: a file is damaged, or records contradict each other; naming the file.
    """
    run = _ScoredRun.read(run_dir)
    finished = run.finished_units(run_dir)
    for notice in filter(None, (unit.log.notice for unit in finished)):
        (on_notice or _to_stderr)(notice)
    records = [record for unit in finished for record in unit.log.records]
    measured = [(unit, left.measures) for unit, left in zip(run.units, finished, strict=True)]
    last = {unit.arm: (unit, of_unit) for unit, of_unit in measured}
    summary = summarise(
        records,
        task=run.task,
        physics=run.physics,
        memory_entries={arm: _entries_after(unit, of_unit) for arm, (unit, of_unit) in last.items()},
        memory_sizes=_memory_sizes(measured),
        seed=run.seed,
    )
    timing = _timing(run_dir, {arm: of_unit for arm, (_, of_unit) in last.items()})
    write_episodes_parquet(run_dir / run_files.MERGED_EPISODES, records)
    summary.write(run_dir)
    timing.write(run_dir)
    return summary


def read_episodes_of(run_dir: Path) -> list[EpisodeRecord]:
    """Every episode of a complete run, in the order of its units.

    Raises:
        UsageError: it is no run directory.
        IncompleteRunError: a unit is missing.
        ValueError: a file is damaged.
    """
    return [record for unit in _ScoredRun.read(run_dir).finished_units(run_dir) for record in unit.log.records]


def require_run(run_dir: Path, given_as: str = "") -> None:
    """Refuse what is no run directory; ``given_as`` is the flag that named it, for the message.

    Raises:
        UsageError: there is no manifest.
    """
    if not (run_dir / run_files.MANIFEST).is_file():
        raise UsageError(
            f"{given_as} {str(run_dir)!r}: no {run_files.MANIFEST} there, so it is no run directory".strip()
        )


def is_finished(run_dir: Path) -> bool:
    """Whether nothing is left to run: every unit is done and decisions have been timed.

    Raises:
        UsageError: it is no run directory.
        ValueError: a file is damaged.
    """
    run = _ScoredRun.read(run_dir)
    return all(is_done(run_dir, unit) for unit in run.units) and probed_timing(run_dir) is not None


def probed_timing(run_dir: Path) -> Timing | None:
    """What the latency probe measured; runs of earlier versions keep it in ``timing.json`` alone.  None: nothing yet.

    Raises:
        ValueError: the file is damaged.
    """
    if (run_dir / run_files.LATENCY_PROBE).is_file():
        return Timing.read(run_dir, run_files.LATENCY_PROBE)
    known = _last_timing(run_dir)
    return known if any(arm.decision_latency_ms is not None for arm in known.arms.values()) else None


def _last_timing(run_dir: Path) -> Timing:
    return Timing.read(run_dir) if (run_dir / run_files.TIMING).is_file() else Timing()


@dataclass(frozen=True)
class _ScoredRun:
    """What scoring needs to know of how a run was made."""

    task: str
    physics: str
    seed: int
    units: list[PlannedUnit]

    @classmethod
    def read(cls, run_dir: Path) -> _ScoredRun:
        require_run(run_dir)
        path = run_dir / run_files.MANIFEST
        manifest: dict[str, Any] = read_json_object(path)
        version = manifest.get("schema_version", run_files.MANIFEST_VERSION)
        if version not in range(run_files.MANIFEST_VERSION + 1):
            raise ValueError(
                f"{path}: schema version {version!r}, this code reads versions up to {run_files.MANIFEST_VERSION}"
            )
        try:
            settings = manifest["settings"]
            task, physics, seed = str(settings["task"]), str(settings["physics"]), int(settings["seed"])
            plan_sha256 = str(manifest["plan_sha256"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is no benchmark's manifest, {error} is missing or wrong") from None
        return cls(task, physics, seed, read_planned_units(run_dir, plan_sha256))

    def finished_units(self, run_dir: Path) -> list[FinishedUnit]:
        finished, missing = [], []
        for unit in self.units:
            try:
                finished.append(read_unit(run_dir, unit))
            except UnfinishedUnitError as error:
                missing.append(f"{unit.id}: {error}")
        if missing:
            raise IncompleteRunError(
                f"{run_dir}: {len(missing)} of {len(self.units)} units are missing (the first is {missing[0]}); "
                f"finish the run with scripts/benchmark.py {resume_flag(run_dir)}"
            )
        return finished


def _entries_after(unit: PlannedUnit, measured: UnitMeasures) -> int | None:
    """Cases that an arm ends with; E1 fills a memory that is not its own arm's."""
    return None if unit.round == 0 else measured.memory_entries


def _memory_sizes(measured: Sequence[tuple[PlannedUnit, UnitMeasures]]) -> dict[str, dict[int, int]]:
    """Cases stored after each round of each arm; E1 fills the memory that all of them begin with."""
    sizes: dict[str, dict[int, int]] = {unit.arm: {} for unit, _ in measured}
    for unit, of_unit in measured:
        if of_unit.memory_entries is not None:
            for arm in sizes if unit.round == 0 else (unit.arm,):
                sizes[arm][unit.round] = of_unit.memory_entries
    return sizes


def _timing(run_dir: Path, measures: Mapping[str, UnitMeasures]) -> Timing:
    """The timing of a run from what its probe, its units (the last of each arm) and its starts measured."""
    probed, starts = probed_timing(run_dir) or Timing(), Starts.read(run_dir)
    arms = {
        arm: replace(
            probed.arms.get(arm, ArmTiming()),
            env_steps_per_s=measured.env_steps_per_s,
            ms_per_env_decision=measured.ms_per_env_decision,
            memory_bytes=measured.memory_bytes,
            peak_rss_bytes=measured.peak_rss_bytes,
        )
        for arm, measured in measures.items()
    }
    return Timing(arms, _last_timing(run_dir).wall_s if starts is None else starts.wall_s)


def _to_stderr(notice: str) -> None:
    print(notice, file=sys.stderr)
