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
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.planned_units import (
    FinishedUnit,
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

_Finished = list[tuple[PlannedUnit, FinishedUnit]]
_Blocks = dict[tuple[str, int], list[UnitMeasures]]
"""What was measured of the units of an arm's round, by arm and round in the plan's order."""


class IncompleteRunError(IncompleteError):
    """A run that has not run everything that it planned."""


@dataclass(frozen=True)
class Scores:
    """What the episodes of a complete run give."""

    records: list[EpisodeRecord]
    """In the order of the units."""
    summary: Summary
    timing: Timing


def score_run(run_dir: Path, on_notice: Callable[[str], None] | None = None) -> Summary:
    """Merge the episodes of a complete run, and write and return its summary; its timing is written, too.

    Scoring again writes the same bytes.  Units that were given up are gaps, and named in the summary.

    Args:
        run_dir: As ``scripts/benchmark.py`` makes it.
        on_notice: Told in one line of everything that was dropped; by default it goes to stderr.

    Raises:
        UsageError: it is no run directory.
        IncompleteRunError: units are missing.
        ValueError: a file is damaged, or records contradict each other; naming the file.
    """
    scores = scores_of(run_dir, on_notice or _to_stderr)
    write_episodes_parquet(run_dir / run_files.MERGED_EPISODES, scores.records)
    scores.summary.write(run_dir)
    scores.timing.write(run_dir)
    return scores.summary


def scores_of(run_dir: Path, on_notice: Callable[[str], None]) -> Scores:
    """What ``score_run`` writes, raising as it does; nothing is written."""
    run = _ScoredRun.read(run_dir)
    finished, gaps = run.finished_units(run_dir)
    for notice in filter(None, (left.log.notice for _, left in finished)):
        on_notice(notice)
    records, without_e1 = _with_e1(finished)
    blocks = _blocks(finished)
    last = {arm: pooled(of_round) for (arm, _), of_round in blocks.items()}
    summary = summarise(
        records,
        task=run.task,
        physics=run.physics,
        memory_entries=_memory_entries(run_dir, blocks),
        memory_sizes=_memory_sizes(run_dir, blocks),
        seed=run.seed,
    )
    summary = replace(summary, gaps=[*gaps, *without_e1])
    return Scores(records, summary, _timing(run_dir, last))


def read_episodes_of(run_dir: Path) -> list[EpisodeRecord]:
    """Every episode of a complete run, in the order of its units; units that were given up have none.

    Raises:
        UsageError: it is no run directory.
        IncompleteRunError: a unit is missing.
        ValueError: a file is damaged.
    """
    finished, _ = _ScoredRun.read(run_dir).finished_units(run_dir)
    return _with_e1(finished)[0]


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
    run = _ScoredRun.read(run_dir)
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

    def finished_units(self, run_dir: Path) -> tuple[_Finished, list[Gap]]:
        finished: _Finished = []
        missing, gaps, given_up = [], [], read_given_up(run_dir)
        for unit in self.units:
            try:
                finished.append((unit, read_unit(run_dir, unit)))
            except UnfinishedUnitError as error:
                why = given_up.get(unit.id)
                if why is None:
                    missing.append(f"{unit.id}: {error}")
                else:
                    gaps.append(Gap(unit.id, unit.arm, unit.round, len(unit.episodes), why))
        again = f"finish the run with scripts/benchmark.py {resume_flag(run_dir)}"
        if missing or not finished:
            first = f" (the first is {missing[0]})" if missing else ""
            count = len(missing) + len(gaps)
            raise IncompleteRunError(f"{run_dir}: {count} of {len(self.units)} units are missing{first}; {again}")
        in_part = {(gap.arm, gap.round) for gap in gaps}
        whole = [unit for unit, _ in finished if (unit.arm, unit.round) not in in_part]
        if wrong := unmerged(run_dir, whole):
            raise IncompleteRunError(
                f"{run_dir}: {', '.join(wrong)}: not merged from what the units have learned; {again}"
            )
        return finished, gaps


def _with_e1(finished: _Finished) -> tuple[list[EpisodeRecord], list[Gap]]:
    """Episodes whose first attempt is there, which is all of them where E1 has no gap; the others as gaps."""
    e1 = {r.scenario_id for _, left in finished for r in left.log.records if r.exposure is Exposure.E1}
    records: list[EpisodeRecord] = []
    gaps = []
    for unit, left in finished:
        known = [r for r in left.log.records if r.base_scenario_id in e1]
        records += known
        if dropped := len(left.log.records) - len(known):
            gaps.append(Gap(unit.id, unit.arm, unit.round, dropped, "their first attempts are missing"))
    return records, gaps


def _blocks(finished: _Finished) -> _Blocks:
    blocks: _Blocks = {}
    for unit, left in finished:
        blocks.setdefault((unit.arm, unit.round), []).append(left.measures)
    return blocks


def _entries(run_dir: Path, arm: str, round_: int, measured: Sequence[UnitMeasures]) -> int | None:
    """Cases in the memory that ``arm`` has after ``round_``; None where it has none."""
    merged = read_merged(run_dir, arm, round_)
    return measured[-1].memory_entries if merged is None else merged.entries


def _memory_entries(run_dir: Path, blocks: _Blocks) -> dict[str, int | None]:
    """Cases that each arm ends with; E1 fills a memory that is not its own arm's."""
    return {
        arm: None if round_ == 0 else _entries(run_dir, arm, round_, measured)
        for (arm, round_), measured in blocks.items()
    }


def _memory_sizes(run_dir: Path, blocks: _Blocks) -> dict[str, dict[int, int]]:
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
