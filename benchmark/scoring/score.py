"""Scores a run directory: from its units' episodes to summary and timing, without a simulator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.episodes.episode_table import EpisodeTable
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.finished_units import FinishedUnits, IncompleteRunError, Measures, PlannedRun
from flow_rag_vla.benchmark.scoring.metrics import summary_of
from flow_rag_vla.benchmark.scoring.planned_units import UnitMeasures, is_done, pooled, read_merged, unmerged
from flow_rag_vla.benchmark.scoring.starts import Starts
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Timing

__all__ = ["IncompleteRunError"]


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
    finished = FinishedUnits(run_dir, PlannedRun.read(run_dir), on_notice)

    def records() -> Iterator[EpisodeRecord]:
        for of_unit in finished.read():
            on_episodes(of_unit)
            yield from of_unit

    run = RunRecords.of(records())
    blocks = finished.measures
    last = {arm: pooled(of_round) for (arm, _), of_round in blocks.items()}
    summary = summary_of(
        run,
        task=finished.run.task,
        physics=finished.run.physics,
        memory_entries=_memory_entries(run_dir, blocks),
        memory_sizes=_memory_sizes(run_dir, blocks),
        seed=finished.run.seed,
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
    for of_unit in FinishedUnits(run_dir, PlannedRun.read(run_dir), lambda notice: None).read():
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
    run = PlannedRun.read(run_dir)
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


def _entries(run_dir: Path, arm: str, round_: int, measured: Sequence[UnitMeasures]) -> int | None:
    """Cases in the memory that ``arm`` has after ``round_``; None where it has none."""
    merged = read_merged(run_dir, arm, round_)
    return measured[-1].memory_entries if merged is None else merged.entries


def _memory_entries(run_dir: Path, blocks: Measures) -> dict[str, int | None]:
    """Cases that each arm ends with; E1 fills a memory that is not its own arm's."""
    return {
        arm: None if round_ == 0 else _entries(run_dir, arm, round_, measured)
        for (arm, round_), measured in blocks.items()
    }


def _memory_sizes(run_dir: Path, blocks: Measures) -> dict[str, dict[int, int]]:
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
