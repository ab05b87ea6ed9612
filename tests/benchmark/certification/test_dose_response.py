"""Trends and reversals along a severity ladder, against hand-made counts."""

from __future__ import annotations

import pytest
from scipy import stats

from flow_rag_vla.benchmark.certification.dose_response import dose_response


def test_a_rising_ladder_is_graded():
    verdict = dose_response([0, 5, 15, 20], [20, 20, 20, 20])
    assert verdict.graded
    assert verdict.trend_p is not None
    assert verdict.trend_p < 1e-9


def test_a_falling_ladder_is_neither_a_trend_nor_without_reversal():
    verdict = dose_response([20, 15, 5, 0], [20, 20, 20, 20])
    assert not verdict.graded
    assert verdict.trend_p == pytest.approx(1.0, abs=1e-6)
    assert verdict.reversal_p is not None
    assert verdict.reversal_p < 0.05


def test_a_rise_with_one_step_back_is_not_graded():
    verdict = dose_response([0, 20, 5, 20], [20, 20, 20, 20])
    assert verdict.trend_p is not None
    assert verdict.trend_p < 0.05
    assert not verdict.graded


def test_the_reversal_is_fishers_exact_test_with_holm():
    verdict = dose_response([4, 1], [10, 10])
    assert verdict.reversal_p == pytest.approx(stats.fisher_exact([[1, 9], [4, 6]], alternative="less")[1])


def test_episodes_that_all_went_alike_show_no_trend():
    assert dose_response([5, 5], [5, 5]).trend_p is None
    assert not dose_response([0, 0, 0], [9, 9, 9]).graded
    assert dose_response([], []).reversal_p is None


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="expected one count of 0 to n"):
        dose_response([3], [2])
