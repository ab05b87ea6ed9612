"""The records of ``timing.json``: everything measured by a clock.  What nobody measured is None, null in the file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.benchmark.command.decoding import decode, read_record
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.statistics import Interval

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of a batch-1 decision, ms."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class LatencyEquivalence:
    """TOST of the mean difference of an episode's mean decision latency to the reference arm's, ms; ``n`` episodes."""

    n: int
    mean_difference_ms: float
    margin_ms: float
    p: float
    ci90: Interval
    equivalent: bool


@dataclass(frozen=True)
class ArmTiming:
    """What a clock and the operating system said about one arm."""

    decision_latency_ms: Percentiles | None = None
    """Of all decisions of the probe's episodes."""
    first_decision_ms: Percentiles | None = None
    """Of the first decision of each episode, which asks the memory where there is one."""
    deadline_miss_rate: float | None = None
    avg_frequency_hz: float | None = None
    correction_rate: float | None = None
    rag_timeout_rate: float | None = None
    ms_per_env_decision: float | None = None
    env_steps_per_s: float | None = None
    model_bytes: int | None = None
    memory_bytes: int | None = None
    peak_rss_bytes: int | None = None
    latency_equivalence: LatencyEquivalence | None = None


@dataclass(frozen=True)
class Timing:
    """``timing.json``; with the probe's fields alone, ``latency_probe.json``."""

    arms: dict[str, ArmTiming] = field(default_factory=dict)
    wall_s: float | None = None
    schema_version: int = SCHEMA_VERSION

    def write(self, run_dir: Path, name: str = run_files.TIMING) -> Path:
        """Write it atomically and return its path."""
        path = run_dir / name
        write_json_atomic(path, self)
        return path

    def write_medians(self, run_dir: Path) -> None:
        """Write ``latency.json``: what E2 simulates of it, a decision that asks."""
        asking = {arm: t.first_decision_ms or t.decision_latency_ms for arm, t in self.arms.items()}
        medians = {arm: latency.p50 for arm, latency in asking.items() if latency}
        write_json_atomic(run_dir / run_files.LATENCY, medians)

    @classmethod
    def read(cls, run_dir: Path, name: str = run_files.TIMING) -> Self:
        """The timing of a run directory.

        Raises:
            ValueError: damaged, incomplete or of another schema version.
        """
        return read_record(cls, run_dir / name, SCHEMA_VERSION)


def read_medians(run_dir: Path) -> dict[str, float]:
    """``latency.json``: arm to the time that each of its decisions takes in E2, ms: the median of those that ask.

    Raises:
        ValueError: damaged.
    """
    path = run_dir / run_files.LATENCY
    medians = decode(dict[str, float], read_json_object(path), f"{path}: $")
    if not all(math.isfinite(ms) and ms >= 0.0 for ms in medians.values()):
        raise ValueError(f"{path}: expected milliseconds, got {medians}")
    return medians
