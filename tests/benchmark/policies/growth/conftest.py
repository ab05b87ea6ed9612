"""Hand-made summaries of runs of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.statistics import Interval, proportion
from flow_rag_vla.benchmark.scoring.statistics.verdict import Answer, Gain, Harmfulness
from flow_rag_vla.benchmark.scoring.summary import (
    ArmSummary,
    Comparison,
    E1Summary,
    ExposureSummary,
    Harm,
    MemorySize,
    RepeatCounts,
    RoundSummary,
    Steps,
    Summary,
    Verdict,
)

Counts = tuple[int, int]
Numbers = tuple[float, float, float]
"""A value and the ends of its interval."""

SETTINGS: dict[str, Any] = {
    "ablation": "parallel", "task": "T", "physics": "newton_mujoco", "device": "cpu", "scenarios": 512, "num_envs": 64,
    "block": 64, "threads": 1, "rounds": 1, "exposures": "", "sites": 1, "seed": 0, "split": "evaluation",
    "detector": "rules", "checkpoint": "default", "quick": False, "out": "runs",
    "agent": {"caution": 0.1, "num_neighbours": 5},
}  # fmt: skip
MANIFEST: dict[str, Any] = {
    "command": "./isaaclab.sh -p scripts/benchmark.py",
    "code": {"commit": "0123456789abcdef", "sha256": "c0de"},
    "versions": {"mujoco": "3.12.0"},
    "plan_sha256": "every run has its own",
    "policy_sha256": "aa",
    "contacts_sha256": "bb",
    "settings": SETTINGS,
}


def _exposure(counts: Counts, repeated: Numbers | None = None) -> ExposureSummary:
    share = None if repeated is None else repeated[0]
    f1 = RepeatCounts(
        counts[1] if repeated else 0, 0, 0, 0, 0, None if repeated is None else repeated[1:], None, None, None
    )
    rest = None if share is None else 1.0 - share
    k, n = counts
    return ExposureSummary(n, proportion(k, n), share, 0.0, rest, 0, f1, proportion(0, 0), Steps(0, None, None))


def _arm(
    near: Counts = (0, 0),
    clean: Counts = (0, 0),
    control: Counts = (0, 0),
    far: Counts = (0, 0),
    gain: Numbers | None = None,
    harm: Numbers | None = None,
    repeated: Numbers | None = None,
    cases: Mapping[int, int] | None = None,
    rounds: int = 1,
    reference: bool = False,
) -> ArmSummary:
    pairs = near[1] if gain else 0
    value, ci95 = _split(gain)
    compared = None if reference else Comparison(
        Exposure.NEAR, pairs, value, ci95, None, 0, 0, None, None, 0, None, None, None
    )  # fmt: skip
    broken, broken_ci95 = _split(harm)
    met = clean[1] + control[1] if harm else 0
    return ArmSummary(
        exact=_exposure((0, 0)),
        near=_exposure(near, repeated),
        far=_exposure(far),
        clean=_exposure(clean),
        control=_exposure(control),
        harm=Harm(broken, broken_ci95, proportion(0, met), met, None, None),
        vs_flow_only=compared,
        vs_always_cautious=None,
        answer=None,
        payoff=None,
        deployment=None,
        memory_entries=None if cases is None else cases[max(cases)],
        memory_sizes=[] if cases is None else [MemorySize(round_, n) for round_, n in sorted(cases.items())],
        retrieved=None,
        loss_chain={},
        rounds=[
            RoundSummary(i + 1, Exposure.CLEAN, proportion(0, 0), None, None, None, 0) for i in range(rounds)
        ],
    )  # fmt: skip


def _split(numbers: Numbers | None) -> tuple[float | None, Interval | None]:
    return (None, None) if numbers is None else (numbers[0], numbers[1:])


SizedRunWriter = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> SizedRunWriter:
    """Writes a run of ``scenarios``; ``parallel`` and ``flow_only`` are keywords of those arms.

    ``settings`` and ``manifest`` replace entries; ``arms`` are further ones.
    """

    def write(
        scenarios: int,
        parallel: Mapping[str, Any],
        flow_only: Mapping[str, Any],
        *,
        settings: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        arms: Mapping[str, Mapping[str, Any]] | None = None,
        max_harm: float = 0.05,
        name: str = "",
    ) -> Path:
        folder = tmp_path / (name or f"run{scenarios}")
        every = {"flow_only": _arm(**flow_only, reference=True), "parallel": _arm(**parallel)}
        every |= {other: _arm(**given) for other, given in (arms or {}).items()}
        verdict = Verdict("parallel", Answer.HELPS, Gain.MORE, Harmfulness.BOUNDED, Exposure.NEAR, 1, 0, max_harm)
        e1 = E1Summary(scenarios, 0, 0, 0, 0, proportion(0, scenarios), {})
        Summary("T", "newton_mujoco", e1, every, {}, verdict).write(folder)
        given = SETTINGS | {"scenarios": scenarios} | dict(settings or {})
        write_json_atomic(folder / "manifest.json", MANIFEST | {"settings": given} | dict(manifest or {}))
        return folder

    return write
