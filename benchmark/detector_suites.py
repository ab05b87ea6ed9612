"""What failure detectors are compared on: the whole suite, tasks never fitted to, and faults never fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from flow_rag_vla.agents.detection.network import FailureDetector
from flow_rag_vla.agents.detection.training import DetectorTrainingCfg
from flow_rag_vla.benchmark.detector_fit import (
    Scores,
    chunk_scores,
    detector_scores,
    distillation_scores,
    fit_detector,
    fit_distillation,
    thresholds,
)
from flow_rag_vla.benchmark.detector_metrics import (
    DetectorMetrics,
    Verdicts,
    first_alarms,
    measure,
    rule_verdicts,
)
from flow_rag_vla.benchmark.failure_set import FailureSet
from flow_rag_vla.tasks.faults.fault import FAMILIES
from flow_rag_vla.tasks.faults.registry import get_fault

FOLDS = 4
"""Groups of faults that are held out together, each fault in one of them."""

type Announce = Callable[[str], None]


@dataclass(frozen=True)
class Data:
    """Episodes by what they are for."""

    fit: FailureSet
    calibrate: FailureSet
    test: FailureSet

    def of(self, fit: torch.Tensor, calibrate: torch.Tensor, test: torch.Tensor) -> Data:
        """The episodes marked in each part."""
        return Data(self.fit.select(fit), self.calibrate.select(calibrate), self.test.select(test))


def _in(names: tuple[str, ...], wanted: Iterable[str]) -> torch.Tensor:
    chosen = set(wanted)
    return torch.tensor([name in chosen for name in names])


def calibrated(
    score: Callable[[FailureSet], Scores], calibrate: FailureSet, test: FailureSet, alpha: float
) -> Verdicts:
    """Verdicts on ``test`` with thresholds from the successes of ``calibrate``."""
    return first_alarms(score(test), thresholds(score(calibrate).score, calibrate, alpha), test)


def in_suite(
    detector: FailureDetector, limits: torch.Tensor, data: Data, alpha: float, seed: int
) -> dict[str, Verdicts]:
    """Every detector on the test episodes: the learned one with its own ``limits``, baselines calibrated alike."""
    distilled = fit_distillation(data.fit, seed)
    return {
        "learned": first_alarms(detector_scores(detector, data.test), limits, data.test),
        "rules": rule_verdicts(data.test),
        "rnd": calibrated(lambda s: distillation_scores(distilled, s), data.calibrate, data.test, alpha),
    }


def chunk_verdicts(data: Data, alpha: float) -> dict[str, Verdicts]:
    """Chunk inconsistency on episodes of a policy that plans chunks."""
    variants: dict[str, Callable[[FailureSet], Scores]] = {
        "chunk_single": lambda s: chunk_scores(s, 0),
        "chunk_energy": lambda s: chunk_scores(s, 1),
        "chunk_energy_sum": lambda s: chunk_scores(s, 1, cumulative=True),
    }
    return {name: calibrated(score, data.calibrate, data.test, alpha) for name, score in variants.items()}


def with_chunks(data: FailureSet) -> torch.Tensor:
    """(n,) bool: episodes with chunk distances."""
    missing = torch.isnan(data.chunk[:, 0])
    return torch.bincount(data.episode[missing], minlength=data.num_episodes) == 0


@dataclass(frozen=True)
class HeldOut:
    """A detector that was fitted without a task, on that task."""

    transferred: DetectorMetrics
    """With thresholds from what it was fitted to."""
    recalibrated: DetectorMetrics
    """With thresholds from successes of the task."""


@dataclass(frozen=True)
class HeldOutFaults:
    """Detectors that were fitted and calibrated without some faults, on the failures of these."""

    faults: tuple[str, ...]
    learned: DetectorMetrics
    rnd: DetectorMetrics
    """Random network distillation, which learns from successes alone."""


def held_out_tasks(data: Data, cfg: DetectorTrainingCfg, alpha: float, say: Announce) -> dict[str, HeldOut]:
    """Task to the metrics of a detector that never saw it."""
    results = {}
    for task in sorted(set(data.test.tasks)):
        say(f"without {task}")
        inside = [_in(part.tasks, [task]) for part in (data.fit, data.calibrate, data.test)]
        seen, unseen = data.of(~inside[0], ~inside[1], inside[2]), data.of(inside[0], inside[1], inside[2])
        detector = fit_detector(seen.fit, cfg)

        def score(part: FailureSet, detector: FailureDetector = detector) -> Scores:
            return detector_scores(detector, part)

        results[task] = HeldOut(
            measure(calibrated(score, seen.calibrate, unseen.test, alpha), unseen.test),
            measure(calibrated(score, unseen.calibrate, unseen.test, alpha), unseen.test),
        )
    return results


def fault_groups(faults: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What is held out together: each family, and folds across the families; clean episodes in neither."""
    names = sorted(name for name in set(faults) if name != "none")
    groups = {f"family {family}": tuple(n for n in names if get_fault(n).family == family) for family in FAMILIES}
    by_family = sorted(names, key=lambda n: (FAMILIES.index(get_fault(n).family), n))
    groups.update({f"fold {i + 1}": tuple(by_family[i::FOLDS]) for i in range(FOLDS)})
    return {name: group for name, group in groups.items() if group}


def held_out_faults(
    data: Data, cfg: DetectorTrainingCfg, alpha: float, seed: int, say: Announce
) -> dict[str, HeldOutFaults]:
    """Group to the metrics of detectors that met none of its faults.

    They are tested on the failures of the group's faults and on all successes without them; episodes with these
    faults are in neither fit nor calibration.
    """
    results = {}
    for name, group in fault_groups(data.test.faults).items():
        say(f"without {name}")
        inside = [_in(part.faults, group) for part in (data.fit, data.calibrate, data.test)]
        tested = (inside[2] & data.test.failed) | (~inside[2] & ~data.test.failed)
        part = data.of(~inside[0], ~inside[1], tested)
        detector, distilled = fit_detector(part.fit, cfg), fit_distillation(part.fit, seed)
        learned = calibrated(
            lambda s, detector=detector: detector_scores(detector, s), part.calibrate, part.test, alpha
        )
        rnd = calibrated(
            lambda s, distilled=distilled: distillation_scores(distilled, s), part.calibrate, part.test, alpha
        )
        results[name] = HeldOutFaults(group, measure(learned, part.test), measure(rnd, part.test))
    return results
