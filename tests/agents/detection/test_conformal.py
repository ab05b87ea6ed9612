"""Conformal thresholds: closed forms, and the coverage that they promise."""

from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.detection.conformal import AlarmLimits, calibrate, conformal_quantile, phase_maxima
from flow_rag_vla.tasks.contract import PHASES


@pytest.mark.parametrize(
    ("n", "alpha", "k"), [(19, 0.05, 19), (20, 0.05, 20), (39, 0.05, 38), (99, 0.1, 90), (9, 0.1, 9), (1, 0.5, 1)]
)
def test_the_threshold_is_the_score_of_the_finite_sample_rank(n, alpha, k):
    scores = torch.arange(1.0, n + 1)[torch.randperm(n, generator=torch.Generator().manual_seed(n))]
    assert conformal_quantile(scores, alpha) == k == math.ceil(round((n + 1) * (1 - alpha), 9))


@pytest.mark.parametrize(("n", "alpha"), [(0, 0.05), (18, 0.05), (8, 0.1), (98, 0.01)])
def test_too_few_scores_give_an_infinite_threshold(n, alpha):
    assert conformal_quantile(torch.zeros(n), alpha) == math.inf


def test_senseless_levels_and_scores_are_refused():
    for alpha in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="expected a number between 0 and 1"):
            conformal_quantile(torch.zeros(100), alpha)
    with pytest.raises(ValueError, match="NaN"):
        conformal_quantile(torch.tensor([0.0, math.nan]), 0.1)


def test_coverage_is_exact_for_continuous_scores():
    # k = 48 of n = 49: a new score is larger with probability 1 - 48 / 50 = 0.04.
    draws, n = 40_000, 49
    scores = torch.rand(draws, n + 1, generator=torch.Generator().manual_seed(0))
    limits = torch.tensor([conformal_quantile(row, 0.05) for row in scores[:, :n]])
    rate = float((scores[:, n] > limits).float().mean())
    assert rate == pytest.approx(0.04, abs=4 * math.sqrt(0.04 * 0.96 / draws))


def test_maxima_are_those_of_an_episode_within_a_phase():
    scores, phase = torch.tensor([[1.0, 5.0], [3.0, 4.0], [2.0, 0.0], [7.0, 9.0]]), torch.tensor([0, 0, 1, 0])
    maxima = phase_maxima(scores, phase, torch.tensor([0, 0, 0, 1]), 2)
    assert maxima[0, :2].tolist() == [[3.0, 5.0], [2.0, 0.0]]
    assert maxima[1, :2].tolist() == [[7.0, 9.0], [-math.inf, -math.inf]]
    assert bool((maxima[:, 2:] == -math.inf).all())


def test_limits_are_a_level_for_each_phase_and_a_common_offset():
    n = len(PHASES)
    maxima = torch.full((200, n), -math.inf)
    maxima[:, 0] = torch.arange(200.0)
    maxima[:, 1] = 10.0 * torch.arange(200.0)
    maxima[:30, 2] = 1.0
    limits = calibrate(maxima.unsqueeze(2), 0.1)
    # 91st of the first half's 0, 2, ..., 198 is 180; 15 episodes suffice for one tenth in the third phase, none else.
    assert limits.levels[:3, 0].tolist() == [180.0, 1800.0, 1.0]
    assert bool(torch.isinf(limits.levels[3:]).all())
    # Excesses of the first half: 10 i - 1800 for i from 180 on, i - 180 below (the third phase's 0 in fifteen).
    first = torch.tensor([0.0 if i < 30 else max(i - 180.0, 10.0 * i - 1800.0) for i in range(0, 200, 2)])
    assert limits.scales[0] == conformal_quantile(first, 0.1) - first.median()
    # The second half's exceed by 10 (2 m + 1) - 1800 at the most: its 91st is 10.
    assert limits.offset * limits.scales[0] == pytest.approx(10.0)


def test_an_alarm_is_any_kind_of_score_above_its_level_by_its_scale():
    levels = torch.zeros(len(PHASES), 2)
    levels[1] = torch.tensor([5.0, math.inf])
    limits = AlarmLimits(levels, torch.tensor([1.0, 10.0]), torch.tensor(2.0))
    scores = torch.tensor([[2.5, 0.0], [0.0, 21.0], [0.0, 19.0], [1.9, -9.0], [6.9, 99.0], [7.1, 0.0]])
    phase = torch.tensor([0, 0, 0, 0, 1, 1])
    assert limits.excess(scores, phase).tolist() == pytest.approx([2.5, 2.1, 1.9, 1.9, 1.9, 2.1], abs=1e-5)
    assert limits.alarms(scores, phase).tolist() == [True, True, False, False, False, True]


@pytest.mark.parametrize("successes", [0, 1, 16, 37])
def test_too_few_successes_never_alarm(successes):
    limits = calibrate(torch.zeros(successes, len(PHASES), 2), 0.05)
    phase = torch.arange(len(PHASES))
    assert not bool(limits.alarms(torch.full((len(PHASES), 2), 1e30), phase).any())


def test_the_false_alarm_rate_of_whole_episodes_is_the_nominal_one():
    rng = torch.Generator().manual_seed(1)
    alpha, n, tested, runs = 0.2, 198, 50, 400
    scale = torch.tensor([[1.0, 50.0], [5.0, 1.0], [0.1, 9.0], [2.0, 2.0], [9.0, 0.3]])
    alarms = 0
    for _ in range(runs):
        # Phases and kinds of scores of one episode depend on each other, and have scales of their own.
        common = torch.randn(n + tested, 1, 1, generator=rng)
        maxima = (common + torch.randn(n + tested, len(PHASES), 2, generator=rng)) * scale
        limits = calibrate(maxima[:n], alpha)
        alarmed = torch.stack([limits.alarms(rows, torch.arange(len(PHASES))).any() for rows in maxima[n:]])
        alarms += int(alarmed.sum())
    # Rank 80 of 99: exactly one fifth; the runs' own spread is a beta distribution's.
    sd = math.sqrt((0.2 * 0.8 / 101 + 0.2 * 0.8 / tested) / runs)
    assert alarms / (tested * runs) == pytest.approx(0.2, abs=4 * sd)
