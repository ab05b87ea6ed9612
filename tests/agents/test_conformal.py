"""Conformal thresholds: closed forms, and the coverage that they promise."""

from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.detection.conformal import conformal_quantile, phase_maxima, phase_thresholds
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
    scores, phase = torch.tensor([1.0, 3.0, 2.0, 7.0]), torch.tensor([0, 0, 1, 0])
    maxima = phase_maxima(scores, phase, torch.tensor([0, 0, 0, 1]), 2)
    assert maxima[:, :2].tolist() == [[3.0, 2.0], [7.0, -math.inf]]
    assert bool((maxima[:, 2:] == -math.inf).all())


def test_thresholds_are_a_level_for_each_phase_and_a_common_offset():
    n = len(PHASES)
    maxima = torch.full((200, n), -math.inf)
    maxima[:, 0] = torch.arange(200.0)
    maxima[:, 1] = 10.0 * torch.arange(200.0)
    maxima[:30, 2] = 1.0
    limits = phase_thresholds(maxima, 0.1)
    # 91st of the first half's 0, 2, ..., 198 is 180; 15 episodes suffice for one tenth in the third phase, none else.
    # The second half exceeds these levels by 10 (2 m + 1) - 1800 at the most: its 91st is 10.
    assert limits[:3].tolist() == [190.0, 1810.0, 11.0]
    assert bool(torch.isinf(limits[3:]).all())


@pytest.mark.parametrize("successes", [0, 1, 16, 37])
def test_too_few_successes_never_alarm(successes):
    assert bool(torch.isinf(phase_thresholds(torch.zeros(successes, len(PHASES)), 0.05)).all())


def test_the_false_alarm_rate_of_whole_episodes_is_the_nominal_one():
    rng = torch.Generator().manual_seed(1)
    alpha, n, tested, runs = 0.2, 198, 50, 400
    scale = torch.tensor([1.0, 5.0, 0.1, 2.0, 9.0])
    alarms = 0
    for _ in range(runs):
        # Phases of one episode depend on each other, and have scales of their own.
        common = torch.randn(n + tested, 1, generator=rng)
        maxima = (common + torch.randn(n + tested, len(PHASES), generator=rng)) * scale
        limits = phase_thresholds(maxima[:n], alpha)
        alarms += int((maxima[n:] > limits).any(dim=1).sum())
    # Rank 80 of 99: exactly one fifth; the runs' own spread is a beta distribution's.
    sd = math.sqrt((0.2 * 0.8 / 101 + 0.2 * 0.8 / tested) / runs)
    assert alarms / (tested * runs) == pytest.approx(0.2, abs=4 * sd)
