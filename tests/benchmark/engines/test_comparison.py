"""Two engines beside each other, from outcomes that were made by hand."""

from __future__ import annotations

import dataclasses

import pytest

from flow_rag_vla.benchmark.engines.comparison import compare_cells, compare_engines, engine_result
from flow_rag_vla.benchmark.scoring.statistics import McNemar, newcombe_paired_interval, proportion


def test_invalid_episodes_stay_in_n_and_are_no_successes(played):
    result = engine_result(played("newton_mjwarp", "ssfi", mm=(0.5, 0.25, 1.5, 2.5)))
    assert result.success == proportion(2, 4)
    assert (result.invalid, result.deepest_mm) == (1, 2.5)


def test_episodes_whose_physics_gave_no_depth_do_not_hide_the_others(played):
    assert engine_result(played("a", "si", mm=(0.75, None))).deepest_mm == 0.75
    assert engine_result(played("a", "i", mm=(None,))).deepest_mm is None


def test_episodes_end_alike_where_both_succeed_both_fail_or_both_are_invalid(played):
    row = compare_cells(played("a", "sfisfi"), played("b", "sfifis"))
    assert row.agreement == proportion(3, 6)


def test_five_discordant_pairs_on_one_side_have_a_p_of_one_sixteenth(played):
    """Exact McNemar is a binomial test at 1/2 on the discordant pairs: 2 / 2**5."""
    row = compare_cells(played("a", "sssss" + "ssff"), played("b", "fffff" + "ssff"))
    assert row.mcnemar == McNemar(gained=0, lost=5, p=0.0625)
    assert row.difference_points == pytest.approx(-100 * 5 / 9)
    assert row.agreement == proportion(4, 9)


def test_what_one_engine_calls_invalid_is_no_success_gained_or_lost_against_a_failure(played):
    row = compare_cells(played("a", "fi"), played("b", "if"))
    assert row.mcnemar == McNemar(0, 0, 1.0)
    assert row.agreement == proportion(0, 2)
    assert row.difference_points == 0.0


def test_the_difference_is_the_second_engines_gain_in_points_with_its_paired_interval(played):
    row = compare_cells(played("a", "sffff"), played("b", "ssfff"))
    low, high = newcombe_paired_interval([1, 1, 0, 0, 0], [1, 0, 0, 0, 0]) or (0.0, 0.0)
    assert row.difference_points == pytest.approx(20.0)
    assert row.difference_ci95_points == pytest.approx((100 * low, 100 * high))


def test_other_scenarios_are_not_compared(played):
    first, second = played("a", "ss"), played("b", "ss")
    turned = dataclasses.replace(second, ends=second.ends[::-1])
    with pytest.raises(ValueError, match=r"a, expert, pick_place, slippery_object \(avoidable\) and b, .* nothing to"):
        compare_cells(first, turned)


def test_a_row_is_made_of_every_cell_that_both_engines_played(played):
    cells = [played("a", "s", fault="post"), played("b", "f", fault="beam"), played("a", "s"), played("b", "f")]
    cells.append(played("b", "s", fault="post", arm="flow_only"))
    (row,) = compare_engines(cells, "a", "b")
    assert (row.fault, row.first.key.physics, row.second.key.physics) == ("slippery_object", "a", "b")
    (row,) = compare_engines(cells, "b", "a")
    assert (row.first.success.k, row.second.success.k) == (0, 1)
