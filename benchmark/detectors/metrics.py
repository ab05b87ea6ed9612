"""How good a failure detector is: discrimination, types, delay and false alarms, over whole episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from flow_rag_vla.agents.detection.conformal import AlarmLimits
from flow_rag_vla.benchmark.detectors.failure_set import FailureSet
from flow_rag_vla.benchmark.detectors.fit import Scores
from flow_rag_vla.benchmark.scoring.statistics import Proportion, proportion
from flow_rag_vla.tasks.contract import NOTHING

RESAMPLES = 500


@dataclass(frozen=True)
class Verdicts:
    """What a detector said of each episode."""

    score: torch.Tensor
    """(n,) the episode's largest excess over the levels of its phases: it alarms where that is above the offset."""
    alarm_step: torch.Tensor
    """(n,) int64: control step of the first alarm, -1 without one."""
    alarm_type: torch.Tensor | None
    """(n,) int64: type given with it, -1 without one; None where a detector tells no types."""


@dataclass(frozen=True)
class Delay:
    """Control steps from the causal event to the first alarm, over the failing episodes that raised one."""

    median: float | None
    quartiles: tuple[float, float] | None
    early: Proportion
    """Alarms before the event."""
    before_end: float | None
    """Median control steps from the alarm to the end of the episode."""


@dataclass(frozen=True)
class DetectorMetrics:
    """One detector on one set of episodes; None where nothing was there to measure."""

    episodes: int
    failed: int
    roc_auc: float | None
    roc_auc_ci95: tuple[float, float] | None
    balanced_accuracy: float | None
    detected: Proportion
    """Of the failing episodes."""
    type_accuracy: Proportion | None
    """Right types among the detected failures."""
    named: Proportion | None
    """Of the failing episodes, those detected and given the right type: what a memory can learn from."""
    false_alarms: Proportion
    """Of the successful episodes."""
    false_alarms_uneventful: Proportion
    """Of the successful episodes in which nothing happened that they had to recover from."""
    delay: Delay


def first_alarms(scores: Scores, limits: AlarmLimits, data: FailureSet) -> Verdicts:
    """Verdicts of a detector that alarms where scores exceed ``limits``."""
    n = data.num_episodes
    excess = limits.excess(scores.score.float(), data.phase)
    highest = torch.full((n,), -torch.inf).scatter_reduce_(0, data.episode, excess, "amax")
    rows = torch.arange(len(data.step))
    above = excess > limits.offset
    never = len(rows)
    first = torch.full((n,), never).scatter_reduce_(0, data.episode, torch.where(above, rows, never), "amin")
    alarmed = first < never
    row = first.clamp(max=never - 1)
    kind = None if scores.kind is None else torch.where(alarmed, scores.kind[row], NOTHING)
    return Verdicts(highest, torch.where(alarmed, data.step[row], NOTHING), kind)


def rule_verdicts(data: FailureSet) -> Verdicts:
    """Verdicts of the rule-based detector; its score is 1 with an alarm and 0 without."""
    return Verdicts((data.rule_step != NOTHING).float(), data.rule_step, data.rule_type)


def measure(verdicts: Verdicts, data: FailureSet, seed: int = 0) -> DetectorMetrics:
    """Metrics of ``verdicts`` on ``data``; the bootstrap of the ROC-AUC resamples episodes with ``seed``."""
    failed, alarmed = data.failed, verdicts.alarm_step != NOTHING
    both = bool(failed.any()) and not bool(failed.all())
    hits = failed & alarmed
    uneventful = ~failed & (data.failure_type == NOTHING)
    score = np.nan_to_num(verdicts.score.double().numpy(), posinf=1e30, neginf=-1e30)
    types = named = None
    if verdicts.alarm_type is not None:
        right = int((hits & (verdicts.alarm_type == data.failure_type)).sum())
        types, named = proportion(right, int(hits.sum())), proportion(right, int(failed.sum()))
    return DetectorMetrics(
        episodes=len(failed),
        failed=int(failed.sum()),
        roc_auc=float(roc_auc_score(failed.numpy(), score)) if both else None,
        roc_auc_ci95=_auc_interval(failed.numpy(), score, seed) if both else None,
        balanced_accuracy=float(balanced_accuracy_score(failed.numpy(), alarmed.numpy())) if both else None,
        detected=proportion(int(hits.sum()), int(failed.sum())),
        type_accuracy=types,
        named=named,
        false_alarms=proportion(int((alarmed & ~failed).sum()), int((~failed).sum())),
        false_alarms_uneventful=proportion(int((alarmed & uneventful).sum()), int(uneventful.sum())),
        delay=_delay(verdicts, data, hits),
    )


def _delay(verdicts: Verdicts, data: FailureSet, hits: torch.Tensor) -> Delay:
    delay = (verdicts.alarm_step - data.failure_step)[hits].double()
    early = proportion(int((delay < 0).sum()), len(delay))
    if len(delay) == 0:
        return Delay(None, None, early, None)
    low, middle, high = torch.quantile(delay, torch.tensor([0.25, 0.5, 0.75]).double()).tolist()
    left = (data.steps - verdicts.alarm_step)[hits].double()
    return Delay(middle, (low, high), early, float(left.quantile(0.5)))


def _auc_interval(failed: np.ndarray, score: np.ndarray, seed: int) -> tuple[float, float]:
    """Percentile bootstrap over episodes, failures and successes resampled apart."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    positive, negative = score[failed], np.sort(score[~failed])
    values = []
    for _ in range(RESAMPLES):
        p = positive[rng.integers(len(positive), size=len(positive))]
        q = negative[np.sort(rng.integers(len(negative), size=len(negative)))]
        # Mann-Whitney: the share of pairs in which the failure scores higher, ties by half.
        wins = np.searchsorted(q, p, side="left") + np.searchsorted(q, p, side="right")
        values.append(wins.mean() / (2 * len(q)))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
