"""Situations and their trials: what is merged, what is kept, in which order."""

from __future__ import annotations

import numpy as np
import pytest

from flow_rag_vla.memory.evidence.situations import Exposures, KeySource, assign_rows

NONE, FIRM = 0, 1


def unit(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def exposed(
    exposures: Exposures, degrees: list[float], tried: list[int], worked: list[bool], size: int = 9
) -> Exposures:
    return exposures.with_trials(KeySource.of(unit(*degrees)), np.array(tried), np.array(worked), 0.95, size)


def test_episodes_of_one_situation_share_a_row_and_add_up() -> None:
    met = exposed(Exposures.none(2, 2), [0, 1, 90], [NONE, NONE, FIRM], [True, False, True])
    assert met.ids.tolist() == [1, 2]
    assert met.counts.tolist() == [[[1, 1], [0, 0]], [[0, 0], [1, 0]]]
    np.testing.assert_array_equal(met.keys, unit(0, 90))


def test_merging_in_two_calls_gives_what_one_call_gives() -> None:
    degrees, tried, worked = [0.0, 30, 1, 31, 60], [0, 0, 1, 0, 1], [True, False, True, False, True]
    at_once = exposed(Exposures.none(2, 2), degrees, tried, worked)
    first = exposed(Exposures.none(2, 2), degrees[:2], tried[:2], worked[:2])
    in_turn = exposed(first, degrees[2:], tried[2:], worked[2:])
    np.testing.assert_array_equal(at_once.keys, in_turn.keys)
    np.testing.assert_array_equal(at_once.counts, in_turn.counts)


def test_a_full_table_forgets_what_was_met_least_and_longest_ago() -> None:
    met = exposed(Exposures.none(2, 2), [0, 0, 40, 80, 120], [NONE] * 5, [True] * 5, size=3)
    np.testing.assert_array_equal(met.keys, unit(0, 80, 120))
    assert met.ids.tolist() == [1, 3, 4]


def test_the_old_table_stays_as_it_was() -> None:
    before = exposed(Exposures.none(2, 2), [0], [NONE], [True])
    exposed(before, [0], [NONE], [False])
    assert before.counts[0, NONE].tolist() == [1, 0]


def test_a_key_goes_to_the_most_similar_situation_whether_known_or_new() -> None:
    rows, new = assign_rows(KeySource.of(unit(20, 1, 18, 12)), unit(0), 0.95)
    assert rows.tolist() == [1, 0, 1, 1]
    assert new.tolist() == [0]


def test_blocks_of_keys_are_told_apart_as_one_batch_would_be() -> None:
    rng = np.random.default_rng(0)
    keys = unit(*rng.uniform(0, 360, 1100))
    rows, new = assign_rows(KeySource.of(keys), keys[:0], 0.95)
    situations = keys[new]
    similarity = np.einsum("nd,nd->n", keys, situations[rows])
    assert (similarity >= 0.95 - 1e-5).all()
    between = situations @ situations.T - 2 * np.eye(len(situations))
    assert between.max() < 0.95


@pytest.mark.parametrize("tried", [-1, 2])
def test_an_unknown_candidate_is_refused(tried: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 1"):
        exposed(Exposures.none(2, 2), [0], [tried], [True])


def test_keys_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(n, 3\), got \(1, 2\)"):
        exposed(Exposures.none(3, 2), [0], [NONE], [True])
