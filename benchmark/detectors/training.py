"""Makes the detector checkpoint: fit, calibrate, and a look at development episodes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
from flow_rag_vla.benchmark.detectors.fit import (
    alarm_limits,
    fit_scorer,
    load_failures,
    origins,
    require_disjoint,
    scorer_scores,
)
from flow_rag_vla.benchmark.detectors.metrics import DetectorMetrics, first_alarms, measure, rule_verdicts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flow_rag_vla.agents.detection.training import DetectorTrainingCfg


@dataclass(frozen=True)
class TrainedDetector:
    """A checkpoint, and how it does on development episodes beside the rules."""

    checkpoint: DetectorCheckpoint
    learned: DetectorMetrics
    rules: DetectorMetrics


def make_detector(
    folder: Path,
    cfg: DetectorTrainingCfg,
    alpha: float,
    provenance: dict[str, Any],
    on_iteration: Callable[[int, float], None] | None = None,
) -> TrainedDetector:
    """Fit to ``folder``'s fit episodes, calibrate on its calibration episodes, measure on those to choose by.

    Args:
        folder: What ``scripts/collect_failures.py`` wrote.
        cfg: Sizes and schedule.
        alpha: Nominal rate of false alarms, a successful episode.
        provenance: JSON-able facts to store with the checkpoint.
        on_iteration: Called after each iteration with its number and the running loss.

    Raises:
        ValueError: episodes are missing, belong to another split, or share a layout.
    """
    fit, calibrate, choose = (load_failures(folder, role) for role in ("fit", "calibrate", "choose"))
    for task in sorted(set(fit.tasks)):
        require_disjoint([part.of_task(task) for part in (fit, calibrate, choose)])
    scorer = fit_scorer(fit, cfg, on_iteration)
    limits = alarm_limits(scorer_scores(scorer, calibrate), calibrate, alpha)
    learned = measure(first_alarms(scorer_scores(scorer, choose), limits, choose), choose)
    training = {
        "cfg": dataclasses.asdict(cfg),
        "fit": {"episodes": fit.num_episodes, "failed": int(fit.failed.sum())},
        "calibrate": {"successes": int((~calibrate.failed).sum())},
        "tasks": sorted(set(fit.tasks)),
        "recorded": [origin for role in ("fit", "calibrate") for origin in origins(folder, role)],
        **provenance,
    }
    checkpoint = DetectorCheckpoint(scorer, limits, alpha, training)
    return TrainedDetector(checkpoint, learned, measure(rule_verdicts(choose), choose))
