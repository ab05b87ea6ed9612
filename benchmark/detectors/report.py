"""The report on failure detectors: every suite as JSON-able values, tables and figures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
from flow_rag_vla.agents.detection.scorer import FailureScorer
from flow_rag_vla.agents.detection.training import DetectorTrainingCfg
from flow_rag_vla.agents.detection.window import WindowTracker
from flow_rag_vla.benchmark.detectors.fit import load_failures, require_disjoint
from flow_rag_vla.benchmark.detectors.metrics import DetectorMetrics, Verdicts, measure
from flow_rag_vla.benchmark.detectors.suites import (
    Data,
    chunk_verdicts,
    held_out_faults,
    held_out_tasks,
    in_suite,
    with_chunks,
)
from flow_rag_vla.benchmark.scoring.statistics import Proportion
from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS, Observation

WARM_UP, CALLS = 50, 500


@dataclasses.dataclass(frozen=True)
class DetectorReport:
    """Everything measured, and the verdicts that the figures are drawn from."""

    values: dict[str, Any]
    """JSON-able."""
    verdicts: dict[str, tuple[Verdicts, torch.Tensor, torch.Tensor]]
    """Detector to its verdicts, ``failed`` (n,) and ``failure_step`` (n,)."""


def milliseconds_per_call(scorer: FailureScorer, batch: int, threads: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of the time of one call of the networks, and of one more step of the windows, ms."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    tracker, running = WindowTracker(batch), torch.ones(batch, dtype=torch.bool)
    observation = _observation(batch)

    def judge() -> None:
        window = tracker.window
        scorer(window.before, window.after, window.action)

    times = {"networks": _timed(judge), "window": _timed(lambda: tracker.update(observation, running))}
    torch.set_num_threads(before)
    return times


def _timed(call: Callable[[], None]) -> dict[str, float]:
    seconds = []
    for i in range(WARM_UP + CALLS):
        start = time.perf_counter()
        call()
        if i >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    low, high = torch.tensor(seconds).quantile(torch.tensor([0.5, 0.95])).tolist()
    return {"p50": 1000.0 * low, "p95": 1000.0 * high}


def _observation(num_envs: int) -> Observation:
    """Something to time on: the time does not depend on what is sensed."""
    zeros = {name: torch.zeros(num_envs, width) for name, width in OBSERVATION_WIDTHS.items()}
    return Observation(**zeros, instruction=("",) * num_envs)


def detector_report(
    folder: Path, checkpoint: DetectorCheckpoint, role: str, held_out: bool, seed: int, say: Callable[[str], None]
) -> DetectorReport:
    """Measure ``checkpoint``, its parts and the baselines on ``folder``'s episodes of ``role`` (choose or test).

    Args:
        folder: What ``scripts/collect_failures.py`` wrote.
        checkpoint: The detector.
        role: Which episodes to measure on.
        held_out: Also fit detectors without each task and without groups of faults.
        seed: Of the bootstrap.
        say: Told what is being done.

    Raises:
        ValueError: episodes are missing, belong to another split, or share a layout.
    """
    data = Data(load_failures(folder, "fit"), load_failures(folder, "calibrate"), load_failures(folder, role))
    for task in sorted(set(data.test.tasks)):
        require_disjoint([part.of_task(task) for part in (data.fit, data.calibrate, data.test)])
    alpha = checkpoint.alpha
    say("in-suite detectors")
    suite = in_suite(checkpoint.scorer, checkpoint.limits, data, alpha)
    values: dict[str, Any] = {
        "alpha": alpha,
        "role": role,
        "sha256": checkpoint.sha256,
        "in_suite": {name: _json(measure(v, data.test, seed)) for name, v in suite.items()},
        "by_task": {
            task: {name: _json(measure(_of_task(v, data, task), data.test.of_task(task), seed))
                   for name, v in suite.items()}
            for task in sorted(set(data.test.tasks))
        },
    }  # fmt: skip
    verdicts = {name: (v, data.test.failed, data.test.failure_step) for name, v in suite.items()}
    masks = [with_chunks(part) for part in (data.fit, data.calibrate, data.test)]
    if bool(masks[2].any()) and bool(masks[1].any()):
        say("chunk inconsistency")
        chunked = data.of(*masks)
        found = chunk_verdicts(chunked, alpha)
        values["chunk_policy"] = {name: _json(measure(v, chunked.test, seed)) for name, v in found.items()}
        verdicts.update({name: (v, chunked.test.failed, chunked.test.failure_step) for name, v in found.items()})
    if held_out:
        if "cfg" not in checkpoint.training:
            raise ValueError("the detector does not say how it was trained; held-out detectors need its cfg")
        cfg = DetectorTrainingCfg(**checkpoint.training["cfg"])
        tasks = held_out_tasks(data, cfg, alpha, seed, say)
        values["held_out_task"] = {name: _json(result) for name, result in tasks.items()}
        faults = held_out_faults(data, cfg, alpha, seed, say)
        values["held_out_faults"] = {name: _json(result) for name, result in faults.items()}
    values["ms_per_call"] = {
        "batch_1_one_thread": milliseconds_per_call(checkpoint.scorer, 1, 1),
        "batch_1024_two_threads": milliseconds_per_call(checkpoint.scorer, 1024, 2),
    }
    return DetectorReport(values, verdicts)


def _of_task(verdicts: Verdicts, data: Data, task: str) -> Verdicts:
    mask = torch.tensor([name == task for name in data.test.tasks])
    kind = None if verdicts.alarm_type is None else verdicts.alarm_type[mask]
    return Verdicts(verdicts.score[mask], verdicts.alarm_step[mask], kind)


def _json(value: Any) -> Any:
    return dataclasses.asdict(value)


def _share(value: Proportion | None) -> str:
    if value is None or value.rate is None or value.ci95 is None:
        return "-"
    return f"{value.rate:.3f} [{value.ci95[0]:.3f}, {value.ci95[1]:.3f}]"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def metrics_line(name: str, m: DetectorMetrics) -> str:
    """One line for a terminal."""
    return (
        f"{name}: ROC-AUC {_number(m.roc_auc)}, balanced accuracy {_number(m.balanced_accuracy)}, "
        f"type {_share(m.type_accuracy)}, detected {_share(m.detected)}, named {_share(m.named)}, "
        f"false alarms {_share(m.false_alarms)}, delay {_number(m.delay.median, 0)} steps "
        f"(n = {m.episodes}, {m.failed} failed)"
    )
