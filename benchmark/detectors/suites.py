"""What failure detectors are compared on: the whole suite, tasks never fitted to, and faults never fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from flow_rag_vla.agents.detection.conformal import AlarmLimits
from flow_rag_vla.agents.detection.scorer import FailureScorer
from flow_rag_vla.agents.detection.training import DetectorTrainingCfg
from flow_rag_vla.benchmark.detectors.failure_set import FailureSet
from flow_rag_vla.benchmark.detectors.fit import (
    Scores,
    alarm_limits,
    chunk_scores,
    classifier_alone,
    fit_scorer,
    novelty_alone,
    scorer_scores,
)
from flow_rag_vla.benchmark.detectors.metrics import (
    DetectorMetrics,
    Verdicts,
    first_alarms,
    measure,
    rule_verdicts,
)
from flow_rag_vla.tasks.faults.definition.fault import FAMILIES
from flow_rag_vla.tasks.faults.registry import get_fault

FOLDS = 4
"""Groups of faults that are held out together, each fault in one of them."""

type Say = Callable[[str], None]


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


def calibrated(calibrate: Scores, test: Scores, data: Data, alpha: float) -> Verdicts:
    """Verdicts on ``data``'s test episodes with limits from the successes of its calibration episodes."""
    return first_alarms(test, alarm_limits(calibrate, data.calibrate, alpha), data.test)


def network_verdicts(
    scorer: FailureScorer, data: Data, alpha: float, limits: AlarmLimits | None = None
) -> dict[str, Verdicts]:
    """The learned detector, with its own ``limits`` or calibrated, and each of its networks without the other."""
    calibrate, test = scorer_scores(scorer, data.calibrate), scorer_scores(scorer, data.test)
    own = alarm_limits(calibrate, data.calibrate, alpha) if limits is None else limits
    return {
        "learned": first_alarms(test, own, data.test),
        "classifier": calibrated(classifier_alone(calibrate), classifier_alone(test), data, alpha),
        "rnd": calibrated(novelty_alone(calibrate), novelty_alone(test), data, alpha),
    }


def in_suite(scorer: FailureScorer, limits: AlarmLimits, data: Data, alpha: float) -> dict[str, Verdicts]:
    """Every detector on the test episodes: the learned one with its own ``limits``, its networks calibrated alike."""
    return {**network_verdicts(scorer, data, alpha, limits), "rules": rule_verdicts(data.test)}


def chunk_verdicts(data: Data, alpha: float) -> dict[str, Verdicts]:
    """Chunk inconsistency on episodes of a policy that plans chunks."""
    variants = {"chunk_single": (0, False), "chunk_energy": (1, False), "chunk_energy_sum": (1, True)}
    return {
        name: calibrated(chunk_scores(data.calibrate, *how), chunk_scores(data.test, *how), data, alpha)
        for name, how in variants.items()
    }


def with_chunks(data: FailureSet) -> torch.Tensor:
    """(n,) bool: episodes with chunk distances."""
    missing = torch.isnan(data.chunk[:, 0])
    return torch.bincount(data.episode[missing], minlength=data.num_episodes) == 0


@dataclass(frozen=True)
class HeldOut:
    """A detector that was fitted without a task, on that task."""

    transferred: DetectorMetrics
    """With limits from what it was fitted to."""
    recalibrated: DetectorMetrics
    """With limits from successes of the task."""


@dataclass(frozen=True)
class HeldOutFaults:
    """A detector that was fitted and calibrated without some faults, on the failures of these."""

    faults: tuple[str, ...]
    learned: DetectorMetrics
    classifier: DetectorMetrics
    """Without its novelty score."""
    rnd: DetectorMetrics
    """Random network distillation, the novelty score, alone."""


def held_out_tasks(data: Data, cfg: DetectorTrainingCfg, alpha: float, seed: int, say: Say) -> dict[str, HeldOut]:
    """Task to the metrics of a detector that never saw it."""
    results = {}
    for task in sorted(set(data.test.tasks)):
        say(f"without {task}")
        inside = [_in(part.tasks, [task]) for part in (data.fit, data.calibrate, data.test)]
        seen, unseen = data.of(~inside[0], ~inside[1], inside[2]), data.of(inside[0], inside[1], inside[2])
        scorer = fit_scorer(seen.fit, cfg)
        test = scorer_scores(scorer, unseen.test)
        transferred, recalibrated = (
            measure(calibrated(scorer_scores(scorer, part.calibrate), test, part, alpha), unseen.test, seed)
            for part in (seen, unseen)
        )
        results[task] = HeldOut(transferred, recalibrated)
    return results


def fault_groups(faults: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What is held out together: each family, and folds across the families; clean episodes in neither."""
    names = sorted(name for name in set(faults) if name != "none")
    groups = {f"family {family}": tuple(n for n in names if get_fault(n).family == family) for family in FAMILIES}
    by_family = sorted(names, key=lambda n: (FAMILIES.index(get_fault(n).family), n))
    groups.update({f"fold {i + 1}": tuple(by_family[i::FOLDS]) for i in range(FOLDS)})
    return {name: group for name, group in groups.items() if group}


def held_out_faults(
    data: Data, cfg: DetectorTrainingCfg, alpha: float, seed: int, say: Say
) -> dict[str, HeldOutFaults]:
    """Group to the metrics of a detector that met none of its faults.

    It is tested on the failures of the group's faults and on all successes without them; episodes with these faults
    are in neither fit nor calibration.
    """
    results = {}
    for name, group in fault_groups(data.test.faults).items():
        say(f"without {name}")
        inside = [_in(part.faults, group) for part in (data.fit, data.calibrate, data.test)]
        tested = (inside[2] & data.test.failed) | (~inside[2] & ~data.test.failed)
        part = data.of(~inside[0], ~inside[1], tested)
        verdicts = network_verdicts(fit_scorer(part.fit, cfg), part, alpha)
        results[name] = HeldOutFaults(group, **{kind: measure(v, part.test, seed) for kind, v in verdicts.items()})
    return results
