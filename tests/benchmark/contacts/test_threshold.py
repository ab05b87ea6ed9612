"""Where holding ends, from hand-made patterns of what held and what slipped."""

from __future__ import annotations

import pytest

from flow_rag_vla.benchmark.contacts.threshold import RATIOS, Threshold, find_threshold, holdable_kg


def test_two_pads_hold_twice_friction_times_force():
    assert holdable_kg(0.5, 9.81) == pytest.approx(1.0)
    assert holdable_kg(0.2, 40.0) == pytest.approx(1.631, abs=1e-3)


def test_the_threshold_is_midway_between_the_last_that_held_and_the_first_that_slipped():
    found = find_threshold([0.9, 1.0, 1.1, 1.2], [True, True, False, False])
    assert found == Threshold(1.0, 1.1, 0)
    assert found.ratio == pytest.approx(1.05)
    assert found.meets_statics


def test_trials_may_come_in_any_order():
    assert find_threshold([1.2, 0.9, 1.1, 1.0], [False, True, False, True]) == Threshold(1.0, 1.1, 0)


def test_what_holds_above_the_first_slip_does_not_count():
    found = find_threshold([0.8, 0.9, 1.0, 1.1, 1.2], [True, False, True, True, False])
    assert found == Threshold(0.8, 0.9, 2)
    assert found.ratio == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("held", "expected"),
    [([True, True], Threshold(1.1, None, 0)), ([False, False], Threshold(None, 0.9, 0))],
)
def test_where_all_hold_or_all_slip_no_threshold_is_known(held, expected):
    found = find_threshold([0.9, 1.1], held)
    assert found == expected
    assert found.ratio is None
    assert not found.meets_statics


def test_holding_above_a_slip_at_the_smallest_mass_is_no_threshold():
    found = find_threshold([0.9, 1.0, 1.1], [False, True, False])
    assert found == Threshold(None, 0.9, 1)
    assert found.ratio is None


@pytest.mark.parametrize(("low", "high", "met"), [(0.85, 0.90, True), (0.80, 0.85, False), (1.15, 1.20, False)])
def test_statics_is_met_within_fifteen_percent(low, high, met):
    assert find_threshold([low, high], [True, False]).meets_statics is met


def test_outcomes_must_fit_ratios():
    with pytest.raises(ValueError, match=r"got 1 for \[0.9, 1.0\]"):
        find_threshold([0.9, 1.0], [True])
    with pytest.raises(ValueError, match="different ratios"):
        find_threshold([1.0, 1.0], [True, False])


def test_ratios_go_around_one_in_equal_steps():
    assert RATIOS == (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.25, 1.3)
