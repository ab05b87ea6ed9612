"""Scores a run directory: from its units' episodes to summary and timing, without a simulator."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import IncompleteError, UsageError, resume_flag
from flow_rag_vla.benchmark.episodes.episode_table import EpisodeTable
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords, among
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.planned_units import (
    PlannedUnit,
    UnfinishedUnitError,
    UnitMeasures,
    is_done,
    pooled,
    read_given_up,
    read_merged,
    read_planned_units,
    read_unit,
    unmerged,
)
from flow_rag_vla.benchmark.scoring.starts import Starts
from flow_rag_vla.benchmark.scoring.summary import Gap, Summary
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Timing

_Measures = dict[tuple[str, int], list[UnitMeasures]]
"""What was measured of the units of an arm's round, by arm and round in the plan's order."""


class IncompleteRunError(IncompleteError):
    """A run that has not run everything that it planned."""


@dataclass(frozen=True)
class Scores:
    """What the episodes of a complete run give."""

    summary: Summary
    timing: Timing


def score_run(run_dir: Path, on_notice: Callable[[str], None] | None = None) -> Summary:
    """Merge the episodes of a complete run, and write and return its summary; its timing is written, too.

    Scoring again writes the same bytes.  Units that were given up are gaps, and named in the summary.  Episodes are
    read a unit at a time; what is kept of each is columns of numbers (``episode_columns``).

    Args:
        run_dir: As ``scripts/benchmark.py`` makes it.
        on_notice: Told in one line of everything that was dropped; by default it goes to stderr.

    Raises:
        UsageError: it is no run directory.
        IncompleteRunError: units are missing.
        ValueError: a file is damaged, or records contradict each other; naming the file.
    """
    with EpisodeTable(run_dir / run_files.MERGED_EPISODES) as table:
        scores = scores_of(run_dir, on_notice or _to_stderr, table.add)
        table.write()
    scores.summary.write(run_dir)
    scores.timing.write(run_dir)
    return scores.summary


def scores_of(
    run_dir: Path,
    on_notice: Callable[[str], None],
    on_episodes: Callable[[Sequence[EpisodeRecord]], None] = lambda records: None,
) -> Scores:
    """What ``score_run`` writes, raising as it does; nothing is written.  ``on_episodes`` gets those of each unit."""
    require_run(run_dir)
    finished = _FinishedUnits(run_dir, _PlannedRun.read(run_dir), on_notice)

    def records() -> Iterator[EpisodeRecord]:
        for of_unit in finished.read():
            on_episodes(of_unit)
            yield from of_unit

    run = RunRecords.of(records())
    blocks = finished.measures
    last = {arm: pooled(of_round) for (arm, _), of_round in blocks.items()}
    summary = summarise(
        run,
        task=finished.run.task,
        physics=finished.run.physics,
        memory_entries=_memory_entries(run_dir, blocks),
        memory_sizes=_memory_sizes(run_dir, blocks),
        seed=finished.run.seed,
        max_harm=finished.run.max_harm,
    )
    return Scores(replace(summary, gaps=finished.gaps), _timing(run_dir, last))


def episodes_of(run_dir: Path) -> Iterator[EpisodeRecord]:
    """Every episode of a complete run, in the order of its units; units that were given up have none.

    Raises:
        UsageError: it is no run directory.
        IncompleteRunError: a unit is missing, which the end of the iterator tells.
        ValueError: a file is damaged.
    """
    require_run(run_dir)
    for of_unit in _FinishedUnits(run_dir, _PlannedRun.read(run_dir), lambda notice: None).read():
        yield from of_unit


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
    """Whether nothing is left to run: every unit is done, memories are merged, and decisions have been timed.

    Raises:
        UsageError: it is no run directory.
        ValueError: a file is damaged.
    """
    require_run(run_dir)
    run = _PlannedRun.read(run_dir)
    if any(not is_done(run_dir, unit) for unit in run.units):
        return False
    return not unmerged(run_dir, run.units) and probed_timing(run_dir) is not None


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
class _PlannedRun:
    """What scoring needs to know of how a run was made."""

    task: str
    physics: str
    seed: int
    max_harm: float
    """A share; the default's in runs of earlier versions."""
    units: list[PlannedUnit]

    @classmethod
    def read(cls, run_dir: Path) -> _PlannedRun:
        """Of the run in ``run_dir``, which is one.

        Raises:
            ValueError: its manifest or its plan is damaged.
        """
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
            max_harm = float(settings.get("agent", {}).get("max_harm", AgentSettings.max_harm)) / 100.0
            plan_sha256 = str(manifest["plan_sha256"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is no benchmark's manifest, {error} is missing or wrong") from None
        return cls(task, physics, seed, max_harm, read_planned_units(run_dir, plan_sha256))


class _FinishedUnits:
    """What the units of a run left behind; what was not there is known once they are read."""

    def __init__(self, run_dir: Path, run: _PlannedRun, on_notice: Callable[[str], None]) -> None:
        """Of ``run`` in ``run_dir``; ``on_notice`` is told in one line of everything that was dropped."""
        self.run, self._run_dir, self._on_notice = run, run_dir, on_notice
        self.measures: _Measures = {}
        self.gaps: list[Gap] = []
        """Units that were given up, then episodes whose first attempts are missing."""

    def read(self) -> Iterator[list[EpisodeRecord]]:
        """The episodes of each unit whose first attempt is there, which is all of them where E1 has no gap.

        Raises:
            IncompleteRunError: units are missing, or memories are not merged; after the last unit.
        """
        missing: list[str] = []
        whole: list[PlannedUnit] = []
        without_e1: list[Gap] = []
        given_up, e1 = read_given_up(self._run_dir), _Met()
        # E1 comes first in the plan.
        for unit in self.run.units:
            try:
                left = read_unit(self._run_dir, unit)
            except UnfinishedUnitError as error:
                if (why := given_up.get(unit.id)) is None:
                    missing.append(f"{unit.id}: {error}")
                else:
                    self.gaps.append(Gap(unit.id, unit.arm, unit.round, len(unit.episodes), why))
                continue
            if left.log.notice:
                self._on_notice(left.log.notice)
            whole.append(unit)
            self.measures.setdefault((unit.arm, unit.round), []).append(left.measures)
            known = left.log.records
            if unit.round == 0:
                e1.add([r.scenario_id for r in known])
            else:
                known = list(itertools.compress(known, e1.has([r.base_scenario_id for r in known])))
            if dropped := len(left.log.records) - len(known):
                without_e1.append(Gap(unit.id, unit.arm, unit.round, dropped, "their first attempts are missing"))
            del left
            yield known
        self._require_complete(missing, whole)
        self.gaps += without_e1

    def _require_complete(self, missing: list[str], finished: list[PlannedUnit]) -> None:
        again = f"finish the run with scripts/benchmark.py {resume_flag(self._run_dir)}"
        if missing or not finished:
            first = f" (the first is {missing[0]})" if missing else ""
            count, of = len(missing) + len(self.gaps), len(self.run.units)
            raise IncompleteRunError(f"{self._run_dir}: {count} of {of} units are missing{first}; {again}")
        in_part = {(gap.arm, gap.round) for gap in self.gaps}
        whole = [unit for unit in finished if (unit.arm, unit.round) not in in_part]
        if wrong := unmerged(self._run_dir, whole):
            raise IncompleteRunError(
                f"{self._run_dir}: {', '.join(wrong)}: not merged from what the units have learned; {again}"
            )


class _Met:
    """Ids of scenarios, 16 bytes each instead of the hundred that a set takes."""

    def __init__(self) -> None:
        self._parts = [np.zeros(0, dtype="S1")]

    def add(self, ids: Sequence[str]) -> None:
        if ids:
            self._parts.append(np.array([name.encode() for name in ids]))

    def has(self, ids: Sequence[str]) -> list[bool]:
        if len(self._parts) > 1:
            self._parts = [np.unique(np.concatenate(self._parts))]
        (known,) = self._parts
        names = np.array([name.encode() for name in ids], dtype=np.bytes_)
        return among(names, known).tolist()


def _entries(run_dir: Path, arm: str, round_: int, measured: Sequence[UnitMeasures]) -> int | None:
    """Cases in the memory that ``arm`` has after ``round_``; None where it has none."""
    merged = read_merged(run_dir, arm, round_)
    return measured[-1].memory_entries if merged is None else merged.entries


def _memory_entries(run_dir: Path, blocks: _Measures) -> dict[str, int | None]:
    """Cases that each arm ends with; E1 fills a memory that is not its own arm's."""
    return {
        arm: None if round_ == 0 else _entries(run_dir, arm, round_, measured)
        for (arm, round_), measured in blocks.items()
    }


def _memory_sizes(run_dir: Path, blocks: _Measures) -> dict[str, dict[int, int]]:
    """Cases stored after each round of each arm; E1 fills the memory that all of them begin with."""
    sizes: dict[str, dict[int, int]] = {arm: {} for arm, _ in blocks}
    for (arm, round_), measured in blocks.items():
        entries = _entries(run_dir, arm, round_, measured)
        if entries is not None:
            for other in sizes if round_ == 0 else (arm,):
                sizes[other][round_] = entries
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
