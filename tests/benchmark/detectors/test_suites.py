"""What is held out stays out: who is fitted, calibrated and tested on which made-up episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from flow_rag_vla.agents.detection.training import DetectorTrainingCfg
from flow_rag_vla.agents.detection.window import NUM_STATE_FEATURES
from flow_rag_vla.benchmark.detectors import suites
from flow_rag_vla.benchmark.detectors.failure_set import FailureSet
from flow_rag_vla.benchmark.detectors.fit import Scores, fit_scorer
from flow_rag_vla.benchmark.detectors.suites import Data, held_out_faults, held_out_tasks
from flow_rag_vla.benchmark.detectors.training import make_detector
from flow_rag_vla.tasks.contract import FAILURE_TYPES

DROP = FAILURE_TYPES.index("drop")
CFG = DetectorTrainingCfg(hidden_dim=16, iterations=60, novelty_iterations=60, batch_size=64, learning_rate=5e-3)
TRAIN, DEVELOPMENT = 0, 10_000_000
TASKS = ("A", "B")
FAULTS = ("post", "beam", "slippery_object", "push")
"""Two of the family collision, one grasp, one drop; see ``fault_groups``."""

type Make = Callable[..., FailureSet]


@pytest.fixture
def record() -> Make:
    """A maker of sets: an episode of three rows for each (task, fault, failed), whose first number grows on failure."""

    def make(kinds: Sequence[tuple[str, str, bool]], first_layout: int = TRAIN) -> FailureSet:
        n = len(kinds)
        tasks, faults, failures = zip(*kinds, strict=True)
        failed = torch.tensor(failures)
        before = torch.randn(3 * n, NUM_STATE_FEATURES, generator=torch.Generator().manual_seed(first_layout + n)) * 0.1
        after = before.clone()
        after[:, 0] += torch.where(failed, 3.0, -3.0).repeat_interleave(3)
        event = torch.where(failed, 1, -1)
        return FailureSet(
            before=before.half(), after=after.half(), action=torch.zeros(3 * n, 7).half(),
            phase=torch.zeros(3 * n, dtype=torch.long), chunk=torch.full((3 * n, 2), torch.nan),
            step=torch.tensor([8, 16, 20]).repeat(n), episode=torch.arange(n).repeat_interleave(3), failed=failed,
            failure_type=torch.where(failed, DROP, -1), failure_phase=event, failure_step=event.clone(),
            steps=torch.full((n,), 20), rule_type=torch.where(failed, DROP, -1), rule_phase=event.clone(),
            rule_step=torch.where(failed, 5, -1), layout_seed=torch.arange(first_layout, first_layout + n),
            faults=faults, tasks=tasks,
        )  # fmt: skip

    return make


@pytest.fixture
def data(record: Make) -> Data:
    """Of each task and fault one failure and one success, and a clean success, ten times over for fit and limits."""
    kinds = [(t, f, failed) for t in TASKS for f in FAULTS for failed in (True, False)]
    kinds += [(t, "none", False) for t in TASKS]
    return Data(record(kinds * 10, 0), record(kinds * 10, 1000), record(kinds, 2000))


@pytest.fixture
def fitted_on(monkeypatch: pytest.MonkeyPatch) -> list[FailureSet]:
    """What detectors were fitted to, in order; none is trained."""
    seen: list[FailureSet] = []
    monkeypatch.setattr(suites, "fit_scorer", lambda fit, cfg: seen.append(fit) or len(seen))
    return seen


@pytest.fixture
def limits_from(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, FailureSet]]:
    """Which detector (counted from 1) had its limits from which set; scores are the first number's change."""
    seen: list[tuple[int, FailureSet]] = []
    real = suites.alarm_limits

    def scores(scorer: int, part: FailureSet) -> Scores:
        change = (part.after - part.before).float()[:, :1].expand(-1, 2)
        found = Scores(change, torch.full((len(change),), DROP))
        owner[id(found)] = scorer
        kept.append(found)
        return found

    def limits(found: Scores, part: FailureSet, alpha: float):
        if id(found) in owner:
            seen.append((owner[id(found)], part))
        return real(found, part, alpha)

    owner: dict[int, int] = {}
    kept: list[Scores] = []
    monkeypatch.setattr(suites, "scorer_scores", scores)
    monkeypatch.setattr(suites, "alarm_limits", limits)
    return seen


def test_a_detector_without_a_task_never_sees_it_before_it_is_tested_on_it(data, fitted_on, limits_from):
    said: list[str] = []
    results = held_out_tasks(data, CFG, 0.1, 0, said.append)
    assert list(results) == ["A", "B"]
    assert said == ["without A", "without B"]
    assert [set(fit.tasks) for fit in fitted_on] == [{"B"}, {"A"}]
    # Limits from what it was fitted to, then from the task's own successes.
    assert [(n, set(part.tasks)) for n, part in limits_from] == [(1, {"B"}), (1, {"A"}), (2, {"A"}), (2, {"B"})]
    for result in results.values():
        for metrics in (result.transferred, result.recalibrated):
            assert (metrics.episodes, metrics.failed) == (9, 4)
            assert (metrics.detected.k, metrics.false_alarms.k) == (4, 0)


def test_a_detector_without_faults_is_tested_on_their_failures_and_on_the_successes_without_them(
    data, fitted_on, limits_from
):
    results = held_out_faults(data, CFG, 0.1, 0, lambda text: None)
    groups = {name: set(result.faults) for name, result in results.items()}
    assert groups["family collision"] == {"post", "beam"}
    assert set().union(*(group for name, group in groups.items() if name.startswith("fold"))) == set(FAULTS)
    assert sum(len(group) for name, group in groups.items() if name.startswith("fold")) == len(FAULTS)
    others = {name: {*FAULTS, "none"} - group for name, group in groups.items()}
    assert [set(fit.faults) for fit in fitted_on] == list(others.values())
    assert [set(part.faults) for _, part in limits_from] == list(others.values())
    for name, result in results.items():
        held, kept = len(groups[name]), len(others[name])
        for metrics in (result.learned, result.classifier, result.rnd):
            assert (metrics.failed, metrics.episodes) == (2 * held, 2 * (held + kept))
            assert (metrics.detected.k, metrics.false_alarms.k) == (2 * held, 0)


@pytest.fixture
def folder(tmp_path: Path, record: Make) -> Path:
    """Recorded episodes of two tasks, by what they are for."""
    for n, task in enumerate(TASKS):
        kinds = [(task, "post", True), (task, "none", False)] * 20
        for role, layout in (("fit", TRAIN), ("calibrate", TRAIN + 200), ("choose", DEVELOPMENT)):
            origin = {"command": f"collect {task} {role}"}
            record(kinds, layout + 50 * n).save(tmp_path / f"{task}_{role}.safetensors", origin)
    return tmp_path


def test_a_detector_is_made_of_the_fit_and_calibration_episodes_and_measured_on_others(folder):
    torch.manual_seed(7)
    iterations: list[int] = []
    made = make_detector(folder, CFG, 0.2, {"code": "abc"}, lambda i, loss: iterations.append(i))
    assert len(iterations) == iterations[-1] == 120
    assert made.checkpoint.alpha == 0.2
    training = made.checkpoint.training
    assert training["fit"] == {"episodes": 80, "failed": 40}
    assert training["calibrate"] == {"successes": 40}
    assert (training["tasks"], training["code"]) == (["A", "B"], "abc")
    commands = [f"collect {task} {role}" for role in ("fit", "calibrate") for task in TASKS]
    assert [origin["command"] for origin in training["recorded"]] == commands
    assert (made.rules.episodes, made.rules.failed, made.rules.detected.k, made.rules.false_alarms.k) == (80, 40, 40, 0)
    assert (made.learned.episodes, made.learned.failed) == (80, 40)
    assert made.learned.detected.k >= 36
    assert made.learned.false_alarms.k <= 16
    # The weights are those that the fit episodes alone give.
    fit = FailureSet.concatenate([FailureSet.load(folder / f"{task}_fit.safetensors") for task in TASKS])
    windows = (fit.before.float(), fit.after.float(), fit.action.float())
    for ours, theirs in zip(made.checkpoint.scorer(*windows), fit_scorer(fit, CFG)(*windows), strict=True):
        assert torch.equal(ours, theirs)


def test_a_detector_is_not_made_of_roles_that_share_a_layout_or_of_another_split(folder, record):
    path = folder / "A_calibrate.safetensors"
    kinds = [("A", "post", True), ("A", "none", False)] * 20
    record(kinds, TRAIN + 39).save(path, {})
    with pytest.raises(ValueError, match="layout seed 39 is in two sets"):
        make_detector(folder, CFG, 0.2, {})
    record(kinds, DEVELOPMENT + 300).save(path, {})
    with pytest.raises(ValueError, match="train"):
        make_detector(folder, CFG, 0.2, {})
    path.unlink()
    (folder / "B_calibrate.safetensors").unlink()
    with pytest.raises(ValueError, match=r"_calibrate\.safetensors; record episodes"):
        make_detector(folder, CFG, 0.2, {})
