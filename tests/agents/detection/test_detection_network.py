"""The learned detector: the guide's interface, a problem it must solve, its checkpoint, and its alarms."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint, load_detector, save_detector
from flow_rag_vla.agents.detection.conformal import AlarmLimits
from flow_rag_vla.agents.detection.monitor import LearnedDetector
from flow_rag_vla.agents.detection.network import FailureDetector
from flow_rag_vla.agents.detection.novelty import RandomNetworkDistillation
from flow_rag_vla.agents.detection.scorer import FailureScorer
from flow_rag_vla.agents.detection.training import (
    DetectorTrainingCfg,
    TrainingRows,
    num_iterations,
    train_detector,
    train_scorer,
)
from flow_rag_vla.agents.detection.window import NUM_STATE_FEATURES, SCORE_EVERY
from flow_rag_vla.tasks.contract import ACTION_DIM, FAILURE_TYPES, PHASES


def separable(n=600, state_dim=6):
    """Rows that failed where the first number grew, with a type that the second number tells."""
    rng = torch.Generator().manual_seed(3)
    before, change = (torch.randn(n, state_dim, generator=rng) for _ in range(2))
    kind = torch.randint(len(FAILURE_TYPES), (n,), generator=rng)
    change[:, 1] = 3.0 * kind
    failed = change[:, 0] > 0
    return TrainingRows(before, before + change, torch.zeros(n, 7), failed, kind, ~failed, torch.ones(n))


def test_the_probability_is_the_failure_heads_and_the_type_the_type_heads():
    states = torch.zeros(3, NUM_STATE_FEATURES)
    for kind, name in enumerate(["grasp_failure", "collision", "drop", "misalignment", "timeout"]):
        detector = constant_detector(math.log(4.0), kind)
        assert detector(states, states).tolist() == [[pytest.approx(0.8)]] * 3
        assert detector.classify_failure(states, states, torch.zeros(3, ACTION_DIM)) == [name] * 3


def test_where_no_action_is_known_the_usual_one_stands_for_it():
    torch.manual_seed(0)
    detector = FailureDetector(4, 16).eval()
    usual = torch.linspace(-1.0, 1.0, ACTION_DIM)
    detector.set_input_statistics(torch.cat([torch.zeros(8), usual]), torch.ones(8 + ACTION_DIM))
    states = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(detector(*states), detector(*states, usual.expand(3, -1)))
    assert not torch.allclose(detector(*states), detector(*states, torch.zeros(3, ACTION_DIM)))


def test_the_default_network_has_the_guides_size():
    wide = (2 * 512 + 7 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 64
    heads = (64 + 1) * (1 + 5)
    assert sum(weight.numel() for weight in FailureDetector().parameters()) == wide + heads


def test_rows_of_a_batch_are_judged_alone():
    detector = FailureDetector(4, 16).eval()
    states = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    together = detector(states[0], states[1])
    alone = torch.cat([detector(states[0, i : i + 1], states[1, i : i + 1]) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-6)


def test_training_finds_failures_and_types_that_are_there():
    rows = separable()
    cfg = DetectorTrainingCfg(hidden_dim=32, iterations=200, batch_size=64, learning_rate=5e-3)
    detector = train_detector(rows, cfg)
    failed = detector(rows.before, rows.after)[:, 0] > 0.5
    assert float((failed == rows.failed).float().mean()) > 0.95
    kinds = detector.classify_failure(rows.before, rows.after, rows.action)
    hits = [FAILURE_TYPES[k] == found for k, found in zip(rows.failure_type[failed], [
        kind for kind, yes in zip(kinds, failed.tolist(), strict=True) if yes], strict=True)]  # fmt: skip
    assert sum(hits) / len(hits) > 0.9


def test_training_twice_gives_the_same_weights():
    cfg = DetectorTrainingCfg(hidden_dim=8, iterations=5, batch_size=16)
    first, second = (train_detector(separable(), cfg).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_rows_of_no_weight_are_not_learned_from():
    rows = separable()
    spoilt = torch.arange(len(rows.failed)) % 2 == 0
    after = rows.after.clone()
    after[spoilt] = torch.nan
    masked = TrainingRows(
        rows.before, after, rows.action, rows.failed, rows.failure_type, rows.succeeded, (~spoilt).float()
    )
    detector = train_detector(masked, DetectorTrainingCfg(hidden_dim=8, iterations=5, batch_size=16))
    assert all(bool(torch.isfinite(value).all()) for value in detector.state_dict().values())


def test_training_needs_both_kinds_of_rows():
    rows = separable()
    none = TrainingRows(
        rows.before,
        rows.after,
        rows.action,
        torch.zeros_like(rows.failed),
        rows.failure_type,
        rows.succeeded,
        rows.weight,
    )
    with pytest.raises(ValueError, match="with and without a failure"):
        train_detector(none, DetectorTrainingCfg(iterations=1))


def constant_detector(logit: float, kind: int) -> FailureDetector:
    """Says the same whatever it sees."""
    detector = FailureDetector(NUM_STATE_FEATURES, 8).eval().requires_grad_(False)
    for parameter in detector.parameters():
        parameter.zero_()
    detector.failure_head.bias.fill_(logit)
    detector.type_head.bias[kind] = 1.0
    return detector


def constant_scorer(logit: float, kind: int) -> FailureScorer:
    novelty = RandomNetworkDistillation(NUM_STATE_FEATURES + ACTION_DIM).eval().requires_grad_(False)
    return FailureScorer(constant_detector(logit, kind), novelty)


def classifier_limits(thresholds: list[float]) -> AlarmLimits:
    """Alarms where the classifier exceeds ``thresholds``; novelty never does."""
    levels = torch.stack([torch.tensor(thresholds), torch.full((len(PHASES),), math.inf)], dim=1)
    return AlarmLimits(levels, torch.ones(2), torch.tensor(0.0))


def test_one_training_makes_both_networks_and_counts_on():
    cfg = DetectorTrainingCfg(hidden_dim=16, iterations=30, novelty_iterations=200, batch_size=32)
    seen: list[int] = []
    rows = separable()
    scorer = train_scorer(rows, cfg, lambda i, loss: seen.append(i))
    assert seen == list(range(1, num_iterations(cfg) + 1))
    assert num_iterations(cfg) == 230
    scores, kinds = scorer(rows.before, rows.after, rows.action)
    assert scores.shape == (600, 2)
    assert torch.equal(scores[:, 0], scorer.classifier.logits(rows.before, rows.after, rows.action)[0])
    # Successes end where the first number fell: a state far on the other side is odd.
    odd, _ = scorer(rows.before, rows.after + 20.0 * torch.eye(6)[0], rows.action)
    assert float((odd[:, 1] > scores[rows.succeeded, 1].max()).float().mean()) > 0.9
    assert kinds.dtype == torch.long


def test_distillation_needs_successes():
    rows = separable()
    failures = dataclasses.replace(rows, succeeded=torch.zeros_like(rows.succeeded))
    with pytest.raises(ValueError, match="windows of successful episodes, got 0"):
        train_scorer(failures, DetectorTrainingCfg(hidden_dim=8, iterations=1))


@pytest.fixture
def saved(tmp_path):
    limits = classifier_limits([1.0, 2.0, 3.0, math.inf, 5.0])
    checkpoint = DetectorCheckpoint(constant_scorer(2.5, 2), limits, 0.05, {"command": "scripts/train_detector.py"})
    path = tmp_path / "detector.safetensors"
    save_detector(path, checkpoint)
    return path, checkpoint


def test_a_detector_survives_saving_and_loading(saved):
    path, checkpoint = saved
    loaded = load_detector(path)
    for name, value in vars(checkpoint.limits).items():
        assert torch.equal(getattr(loaded.limits, name), value)
    assert (loaded.alpha, loaded.training) == (0.05, {"command": "scripts/train_detector.py"})
    before, after = torch.randn(2, 3, NUM_STATE_FEATURES)
    windows = (before, after, torch.randn(3, ACTION_DIM))
    for ours, theirs in zip(loaded.scorer(*windows), checkpoint.scorer(*windows), strict=True):
        assert torch.equal(ours, theirs)


def refused(path, message):
    with pytest.raises(ValueError, match=message) as error:
        load_detector(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "does not say format"),
        ({"version": 1}, "has version 1, this program reads 2"),
        ({"state_dim": 512}, "reads states of 512 numbers"),
        ({"hidden_dim": 10**9}, "expected 1 to"),
        ({"hidden_dim": 16}, "expected torch.float32"),
        ({"alpha": 2.0}, "between 0 and 1"),
    ],
)
def test_a_header_that_does_not_fit_gives_one_line(saved, changes, message):
    path, _ = saved
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["detector"])
    save_file(load_file(path), path, metadata={"detector": json.dumps(header | changes)})
    refused(path, message)


def test_broken_and_foreign_files_give_one_line_and_run_nothing(saved, tmp_path):
    path, _ = saved
    refused(tmp_path / "none.safetensors", "no such file")
    path.write_bytes(path.read_bytes()[:200])
    refused(path, "not a readable safetensors file")
    save_file({"weights": torch.zeros(3)}, path)
    refused(path, "no detector header")

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path.write_bytes(pickle.dumps(Bomb()))
    refused(path, "not a readable safetensors file")
    assert not (tmp_path / "executed").exists()


def test_limits_that_are_no_sound_numbers_are_refused(saved):
    path, _ = saved
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    save_file(tensors | {"limits.offset": torch.tensor(math.nan)}, path, metadata=metadata)
    refused(path, "limits.offset holds values that are not finite")
    save_file(tensors | {"limits.offset": torch.tensor(-math.inf)}, path, metadata=metadata)
    refused(path, "limits.offset holds a limit that everything exceeds")
    save_file(tensors | {"limits.scales": torch.tensor([1.0, 0.0])}, path, metadata=metadata)
    refused(path, "limits.scales holds values that are not positive")


def monitor(logit: float, kind: str, limits: list[float], num_envs: int = 1) -> LearnedDetector:
    scorer = constant_scorer(logit, FAILURE_TYPES.index(kind))
    return LearnedDetector(DetectorCheckpoint(scorer, classifier_limits(limits), 0.05), num_envs)


def test_what_looks_like_no_success_alarms_though_the_classifier_sees_nothing(observe):
    scorer = constant_scorer(-9.0, FAILURE_TYPES.index("collision"))
    levels = torch.stack([torch.zeros(len(PHASES)), torch.full((len(PHASES),), -30.0)], dim=1)
    limits = AlarmLimits(levels, torch.ones(2), torch.tensor(1.0))
    watched = LearnedDetector(DetectorCheckpoint(scorer, limits, 0.05), 1)
    alarms = [watched.update(observe()) for _ in range(SCORE_EVERY)]
    assert bool(alarms[-1].mask)
    assert FAILURE_TYPES[int(watched.first.failure_type)] == "collision"
    assert float(watched.probability) < 0.01


def test_an_alarm_is_raised_once_with_type_phase_and_step(observe):
    watched = monitor(2.0, "collision", [1.0] * len(PHASES))
    alarms = [watched.update(observe(link_force_b=[60.0, 0.0, 0.0])) for _ in range(3 * SCORE_EVERY)]
    raised = [i + 1 for i, alarm in enumerate(alarms) if bool(alarm.mask)]
    assert raised == [SCORE_EVERY]
    first = watched.first
    assert FAILURE_TYPES[int(first.failure_type)] == "collision"
    assert (PHASES[int(first.phase)], int(first.step), bool(first.link_contact)) == ("approach", SCORE_EVERY, True)


def test_the_threshold_is_that_of_the_sensed_phase(observe, carry):
    limits = [math.inf] * len(PHASES)
    limits[PHASES.index("carry")] = 1.0
    watched = monitor(2.0, "drop", limits)
    for _ in range(SCORE_EVERY):
        assert not bool(watched.update(observe()).mask)
    alarms = [watched.update(carry((0.5, 0.0, 0.2))) for _ in range(SCORE_EVERY)]
    assert bool(alarms[-1].mask)
    assert PHASES[int(watched.first.phase)] == "carry"


def test_an_ended_episode_is_judged_by_its_end(observe):
    limits = [1.0] * len(PHASES)
    watched = monitor(2.0, "misalignment", limits, num_envs=2)
    end = observe(2, object_pos_b=[0.5, 0.27, 0.025])
    watched.update(end)
    later = observe(2)
    alarm = watched.first
    for _ in range(SCORE_EVERY - 1):
        alarm = watched.update(later, running=torch.tensor([False, True]))
    assert alarm.step.tolist() == [1, SCORE_EVERY]
    assert alarm.offset_y_m.tolist() == pytest.approx([0.05, -0.49])


def test_what_no_update_comes_for_is_judged_in_conclusion_and_once(observe):
    watched = monitor(2.0, "timeout", [1.0] * len(PHASES))
    watched.update(observe())
    assert not bool(watched.first.mask)
    assert int(watched.conclude().step) == 1
    assert not bool(watched.conclude().mask)
    assert int(watched.first.step) == 1


def test_a_grasp_that_never_held_is_a_missed_one_in_the_grasp_phase(observe):
    watched = monitor(2.0, "grasp_failure", [1.0] * len(PHASES))
    for _ in range(SCORE_EVERY):
        watched.update(observe())
    assert bool(watched.first.missed)
    assert PHASES[int(watched.first.phase)] == "grasp"


def test_a_reset_forgets_the_alarm_and_several_steps_at_once_are_refused(observe):
    watched = monitor(2.0, "drop", [1.0] * len(PHASES))
    for _ in range(SCORE_EVERY):
        watched.update(observe())
    watched.reset(torch.tensor([0]))
    assert not bool(watched.first.mask)
    assert not bool(watched.conclude().mask)
    with pytest.raises(ValueError, match="after every control step, got 8"):
        watched.update(observe(), 8)
