"""What failure detectors are compared on: the whole suite, tasks never fitted to, and faults never fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from flow_rag_vla.agents.detection.conformal import AlarmLimits
from flow_rag_vla.agents.detection.scorer import FailureScorer
from flow_rag_vla.agents.detection.training import DetectorTrainingCfg
from flow_rag_vla.benchmark.detector_fit import (
    Scores,
    alarm_limits,
    chunk_scores,
    classifier_alone,
    fit_scorer,
    novelty_alone,
    scorer_scores,
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
    """Verdicts on ``test`` with limits from the successes of ``calibrate``."""
    return first_alarms(score(test), alarm_limits(score(calibrate), calibrate, alpha), test)


def parts_alone(scorer: FailureScorer, data: Data, alpha: float) -> dict[str, Verdicts]:
    """Each network of ``scorer`` without the other, calibrated by itself."""
    return {
        "classifier": calibrated(
            lambda s: classifier_alone(scorer_scores(scorer, s)), data.calibrate, data.test, alpha
        ),
        "rnd": calibrated(lambda s: novelty_alone(scorer_scores(scorer, s)), data.calibrate, data.test, alpha),
    }


def in_suite(scorer: FailureScorer, limits: AlarmLimits, data: Data, alpha: float) -> dict[str, Verdicts]:
    """Every detector on the test episodes: the learned one with its own ``limits``, its parts calibrated alike."""
    return {
        "learned": first_alarms(scorer_scores(scorer, data.test), limits, data.test),
        **parts_alone(scorer, data, alpha),
        "rules": rule_verdicts(data.test),
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
    """A detector that was fitted and calibrated without some faults, on the failures of these."""

    faults: tuple[str, ...]
    learned: DetectorMetrics
    classifier: DetectorMetrics
    """Without its novelty score."""
    rnd: DetectorMetrics
    """Random network distillation, the novelty score, alone."""


def held_out_tasks(data: Data, cfg: DetectorTrainingCfg, alpha: float, seed: int, say: Announce) -> dict[str, HeldOut]:
    """Task to the metrics of a detector that never saw it."""
    results = {}
    for task in sorted(set(data.test.tasks)):
        say(f"without {task}")
        inside = [_in(part.tasks, [task]) for part in (data.fit, data.calibrate, data.test)]
        seen, unseen = data.of(~inside[0], ~inside[1], inside[2]), data.of(inside[0], inside[1], inside[2])
        scorer = fit_scorer(seen.fit, cfg)

        def score(part: FailureSet, scorer: FailureScorer = scorer) -> Scores:
            return scorer_scores(scorer, part)

        results[task] = HeldOut(
            measure(calibrated(score, seen.calibrate, unseen.test, alpha), unseen.test, seed),
            measure(calibrated(score, unseen.calibrate, unseen.test, alpha), unseen.test, seed),
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
        scorer = fit_scorer(part.fit, cfg)
        whole = calibrated(lambda s, scorer=scorer: scorer_scores(scorer, s), part.calibrate, part.test, alpha)
        verdicts = {"learned": whole, **parts_alone(scorer, part, alpha)}
        results[name] = HeldOutFaults(group, **{kind: measure(v, part.test, seed) for kind, v in verdicts.items()})
    return results
