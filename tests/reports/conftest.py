"""A synthetic run: episode records drawn with known effects, through the real metrics."""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.episodes.episode_table import write_episodes_parquet
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure, Outcome
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, LatencyEquivalence, Percentiles, Timing

# Tests import the module beside them, whatever import mode pytest runs in.
sys.path.append(str(Path(__file__).parent))

TASK = "FlowRAG-PickPlace-Franka"
PHYSICS = "newton_mujoco"

AVOIDABLE = {
    "slippery_object": ("drop", "carry"),
    "crushable_object": ("grasp_failure", "lift"),
    "post": ("collision", "carry"),
    "beam": ("collision", "carry"),
    "push": ("drop", "carry"),
}
FIX_RATE = {
    "flow_only": 0.12,
    "rag_only": 0.35,
    "sequential": 0.62,
    "parallel": 0.64,
    "always_cautious": 0.30,
    "parallel_shuffled": 0.15,
    "expert": 0.98,
}
MEMORY_ARMS = ("rag_only", "sequential", "parallel", "parallel_shuffled")


def synthetic_records(
    num_scenarios: int = 120,
    fix_rate: Mapping[str, float] = FIX_RATE,
    rounds: int = 1,
    invalid: float = 0.01,
    penetration_mm: float | None = 0.437,
    seed: int = 0,
) -> list[EpisodeRecord]:
    """Records of every arm in ``fix_rate``, which is the chance that it resolves a failure."""
    rng = random.Random(seed)
    faults = [*AVOIDABLE, "forced_release", "none"]
    records: list[EpisodeRecord] = []
    for i in range(num_scenarios):
        fault = faults[i % len(faults)]
        kind = {"none": "clean", "forced_release": "exogenous"}.get(fault, "avoidable")
        if kind == "avoidable" and i % 4 == 0:
            kind = "control"
        fails = rng.random() < {"avoidable": 0.9, "exogenous": 0.7}.get(kind, 0.05)
        first = _record(rng, f"s{i:04}", fault, kind, "flow_only", 0, Exposure.E1, fails, invalid)
        records.append(first)
        exposures = {"clean": [Exposure.CLEAN], "control": [Exposure.CONTROL]}.get(
            kind, [Exposure.EXACT, Exposure.NEAR]
        )
        for arm, rate in sorted(fix_rate.items()):
            for round_ in range(1, rounds + 1):
                for exposure in exposures:
                    again = rng.random() > rate if fails else rng.random() < 0.04
                    records.append(_record(rng, first.scenario_id, fault, kind, arm, round_, exposure, again, invalid))
    return [dataclasses.replace(record, penetration_mm=penetration_mm) for record in records]


def _record(
    rng: random.Random,
    base: str,
    fault: str,
    kind: str,
    arm: str,
    round_: int,
    exposure: Exposure,
    fails: bool,
    invalid: float,
) -> EpisodeRecord:
    outcome = Outcome.INVALID if rng.random() < invalid else Outcome.FAILURE if fails else Outcome.SUCCESS
    failed = outcome is Outcome.FAILURE
    failure_type, phase = AVOIDABLE.get(fault, ("drop", "carry"))
    if rng.random() < 0.12:
        failure_type, phase = "timeout", "place"
    memory = arm in MEMORY_ARMS and kind == "avoidable" and rng.random() < 0.85
    return EpisodeRecord(
        arm=arm,
        round=round_,
        exposure=exposure,
        scenario_id=f"{base}-{exposure}" if exposure is Exposure.NEAR else base,
        base_scenario_id=base,
        attempt=round_,
        site=0,
        task=TASK,
        fault=fault,
        fault_class=kind,
        severity=1.0,
        initial_state_sha="0" * 16,
        outcome=outcome,
        fault_fired=kind in ("avoidable", "exogenous") and rng.random() < 0.95,
        failure_type=failure_type if failed else None,
        failure_phase=phase if failed else None,
        failure_pose_bin=f"{rng.randint(9, 10)},0,4" if failed else None,
        failure_step=rng.randint(40, 90) if failed else None,
        steps=260 if failed else rng.randint(90, 150),
        peak_obstacle_force_n=0.0,
        peak_grip_force_n=10.0,
        agent_failure_type=failure_type if failed and rng.random() < 0.9 else None,
        agent_failure_phase=None,
        agent_failure_step=None,
        decisions=14,
        retrievals=rng.randint(1, 4) if memory else 0,
        retrieved_type=(failure_type if rng.random() < 0.9 else "timeout") if memory else None,
        candidate=("stay_low", "slower")[int(base[1:]) % 2] if memory and base[-1].isdigit() else None,
        late_retrievals=0,
        steered=5 if memory else 0,
        off_support=rng.randint(0, 1) if memory else 0,
    )


def synthetic_timing(arms: Iterable[str]) -> Timing:
    """Plausible latencies; ``expert`` was not measured."""
    arm_timing = {}
    for i, arm in enumerate(sorted(arms)):
        base = 3.1 + 0.37 * i
        equal = LatencyEquivalence(500, 0.12, 1.0, 0.00004, (0.05, 0.19), True)
        arm_timing[arm] = (
            ArmTiming()
            if arm == "expert"
            else ArmTiming(
                decision_latency_ms=Percentiles(base, base * 1.4, base * 2.2),
                deadline_miss_rate=0.002,
                avg_frequency_hz=1000 / base,
                correction_rate=0.31 if arm in MEMORY_ARMS else None,
                rag_timeout_rate=0.004 if arm in MEMORY_ARMS else None,
                ms_per_env_decision=0.041,
                env_steps_per_s=12_840.0,
                model_bytes=4_300_000,
                memory_bytes=1_260_000 if arm in MEMORY_ARMS else None,
                peak_rss_bytes=2_100_000_000,
                latency_equivalence=equal if arm == "parallel" else None,
            )
        )
    return Timing(arm_timing, wall_s=512.3)


MANIFEST = {
    "schema_version": 1,
    "created": "2026-01-01T12:00:00+00:00",
    "command": "./isaaclab.sh -p scripts/benchmark.py --ablation full --seed 0",
    "settings": {"ablation": "full", "seed": 0, "sites": 1, "latency": "off"},
    "code": {"commit": "0123456789abcdef", "dirty": False},
    "versions": {"isaaclab": "3.0.0", "newton": "1.6.0", "python": "3.12.9"},
}

Writer = Callable[..., Path]


def write_run(
    run_dir: Path,
    records: list[EpisodeRecord],
    *,
    timing: bool = True,
    manifest: Mapping[str, object] = MANIFEST,
) -> Path:
    """A run directory as the benchmark leaves it, before its report."""
    arms = {record.arm for record in records}
    entries = {arm: 57 if arm in MEMORY_ARMS else None for arm in arms}
    sizes = {arm: {0: 31, 1: 49, 2: 57} for arm in arms}
    run = RunRecords.of(records)
    summarise(run, task=TASK, physics=PHYSICS, memory_entries=entries, memory_sizes=sizes).write(run_dir)
    if timing:
        synthetic_timing(arms).write(run_dir)
    write_json_atomic(run_dir / "manifest.json", dict(manifest))
    write_episodes_parquet(run_dir / "merged/episodes.parquet", records)
    return run_dir


@pytest.fixture
def make_run(tmp_path: Path) -> Writer:
    """Writes a synthetic run; keywords go to ``synthetic_records``, ``records`` replaces them."""

    def make(
        name: str = "run",
        records: list[EpisodeRecord] | None = None,
        timing: bool = True,
        manifest: Mapping[str, object] = MANIFEST,
        **changes: object,
    ) -> Path:
        if records is None:
            records = synthetic_records(**changes)  # pyright: ignore[reportArgumentType]
        return write_run(tmp_path / name, records, timing=timing, manifest=manifest)

    return make


@pytest.fixture(scope="session")
def make_records() -> Callable[..., list[EpisodeRecord]]:
    """``synthetic_records``."""
    return synthetic_records


@pytest.fixture(scope="session")
def synthetic_run() -> Writer:
    """``write_run``."""
    return write_run


@pytest.fixture(scope="session")
def synthetic() -> Callable[[Path], Path]:
    """Writes the full synthetic run of two rounds into a directory."""
    return lambda run_dir: write_run(run_dir, synthetic_records(rounds=2))
