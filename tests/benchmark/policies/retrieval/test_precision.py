"""What is counted of what a query finds: hand-made cases in a plane, whose similarities are cosines of known angles."""

from __future__ import annotations

import numpy as np
import pytest

from flow_rag_vla.benchmark.policies.retrieval.compared_keys import (
    CUE,
    FIRST,
    LATER,
    LATER_KEY,
    POLICY,
    PRESENT,
    WITH_CUE,
    Asked,
    compared,
)
from flow_rag_vla.benchmark.policies.retrieval.precision import (
    UNKNOWN,
    Cases,
    Queries,
    precision,
    threshold_that_finds,
)


def at(*degrees: float) -> np.ndarray:
    """(n, 2) unit vectors."""
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cases(keys: np.ndarray) -> Cases:
    """Two keys a case: a slippery object that dropped, a wall that was run into, a slippery one lost in the grasp."""
    hazards = np.array(["slippery_object", "wall", "slippery_object"])
    return Cases(keys.reshape(3, 2, -1), hazards, np.array(["drop", "collision", "grasp_failure"]))


IN_A_PLANE = cases(at(0, 180, 20, 180, 30, 180))


def queries(keys: np.ndarray, hazards: list[str], types: list[str], felt: list[str] | None = None) -> Queries:
    return Queries(keys, np.array(hazards), np.array(types), np.array(felt or [UNKNOWN] * len(keys)))


def test_nearest_and_all_found_are_scored_by_hazard_and_by_type():
    # From 0 degrees: slippery at 0, wall at 20, slippery at 30 (cosine 0.87); from 18: wall, slippery, slippery.
    asked = queries(at(0, 18), ["slippery_object"] * 2, ["drop"] * 2)
    found = precision(IN_A_PLANE, asked, 3, 0.85)
    assert (found.queries, found.found, found.failed) == (2, 2, 2)
    assert (found.hazard_first, found.hazard_all) == (0.5, pytest.approx(2 / 3))
    assert (found.type_first, found.type_all) == (0.5, pytest.approx(1 / 3))


def test_what_is_not_similar_enough_is_not_found_and_scores_nothing():
    asked = queries(at(0, 90), ["slippery_object"] * 2, ["drop"] * 2)
    found = precision(IN_A_PLANE, asked, 3, 0.99)
    assert (found.queries, found.found, found.hazard_first, found.hazard_all) == (2, 1, 1.0, 1.0)
    nothing = precision(IN_A_PLANE, queries(at(90), ["wall"], ["drop"]), 3, 0.99)
    assert (nothing.found, nothing.hazard_first, nothing.type_all) == (0, None, None)


def test_what_succeeded_has_no_type_and_what_is_clean_no_hazard():
    found = precision(IN_A_PLANE, queries(at(0, 0), ["slippery_object", UNKNOWN], [UNKNOWN, "drop"]), 1, 0.9)
    assert (found.found, found.failed) == (2, 1)
    assert (found.hazard_first, found.type_first) == (0.5, 1.0)
    # A case of no hazard that could be avoided is not the hazard of a clean episode.
    none = Cases(IN_A_PLANE.keys, np.array([UNKNOWN] * 3), IN_A_PLANE.types)
    assert precision(none, queries(at(0), [UNKNOWN], [UNKNOWN]), 1, 0.9).hazard_first == 0.0


def test_a_case_is_found_by_whichever_of_its_keys_is_nearest():
    two = cases(at(0, 90, 20, 180, 30, 180))
    found = precision(two, queries(at(90), ["slippery_object"], ["drop"]), 3, 0.9)
    assert (found.found, found.hazard_all, found.type_first) == (1, 1.0, 1.0)


def test_where_something_was_felt_only_cases_that_felt_like_it_count_among_the_nearest():
    asked = queries(at(0), ["wall"], ["collision"], ["collision"])
    found = precision(IN_A_PLANE, asked, 3, 0.85)
    assert (found.found, found.hazard_first, found.hazard_all, found.type_first) == (1, 1.0, 1.0, 1.0)
    # The wall is not among the nearest one.
    assert precision(IN_A_PLANE, asked, 1, 0.85).found == 0


def test_a_threshold_is_chosen_by_how_many_find_something():
    # The nearest cases lie 0, 10, 30 and 60 degrees away.
    asked = queries(at(0, 40, 60, 90), ["wall"] * 4, ["drop"] * 4)
    assert threshold_that_finds(IN_A_PLANE, asked, 0.75) == pytest.approx(np.cos(np.deg2rad(30)), abs=1e-5)
    assert threshold_that_finds(IN_A_PLANE, asked, 0.0) == 1.0
    for share in (0.25, 0.5, 0.75, 1.0):
        assert precision(IN_A_PLANE, asked, 3, threshold_that_finds(IN_A_PLANE, asked, share)).found == 4 * share


def test_nothing_to_search_is_refused():
    empty = Cases(np.zeros((0, 1, 2), np.float32), np.array([], np.str_), np.array([], np.str_))
    asked = queries(at(0), ["wall"], ["drop"])
    with pytest.raises(ValueError, match="nothing is remembered"):
        precision(empty, asked, 1, 0.9)
    with pytest.raises(ValueError, match="got 0 cases and 1 queries"):
        threshold_that_finds(empty, asked, 0.5)


def test_keys_are_compared_where_as_many_near_episodes_find_something():
    remembered = {PRESENT: IN_A_PLANE, POLICY: cases(at(0, 170, 100, 170, 200, 170)), CUE: IN_A_PLANE}
    exposures = np.array(["near", "near", "clean"])
    hazards, types = ["slippery_object", "wall", UNKNOWN], ["drop", "collision", UNKNOWN]

    def ask(*degrees: float) -> Queries:
        return queries(at(*degrees), hazards, types)

    # By the present key the first finds its case and nobody else any; by the policy's all are near something.
    first = {PRESENT: ask(0, 90, 90), POLICY: ask(1, 102, 200), CUE: ask(0, 90, 90)}
    later = {PRESENT: ask(0, 20, 90), POLICY: ask(1, 102, 200), CUE: ask(0, 20, 90)}
    table = compared(remembered, Asked(exposures, first, later, np.array([UNKNOWN, "collision", UNKNOWN])), 3, 0.95)

    def row(key: str, moment: str, exposure: str):
        return next(r for r in table.rows if (r.key, r.moment, r.exposure) == (key, moment, exposure))

    assert table.cases == 3
    for key in (PRESENT, POLICY, WITH_CUE):
        assert (row(key, FIRST, "near").result.found, row(key, FIRST, "near").result.queries) == (1, 2)
    # At the threshold where one of two NEAR episodes is served, the clean one finds something by the policy's key.
    assert (row(PRESENT, FIRST, "clean").result.found, row(POLICY, FIRST, "clean").result.found) == (0, 1)
    assert row(POLICY, FIRST, "near").threshold == pytest.approx(np.cos(np.deg2rad(1)), abs=1e-5)
    # Only what felt something asks again: by the cue of its beginning, or by what it senses then.
    assert (row(PRESENT, LATER, "near").result.queries, row(PRESENT, LATER, "near").result.found) == (1, 0)
    assert row(PRESENT, LATER_KEY, "near").result.hazard_first == 1.0
    assert "| first decision | present (0.950) | NEAR | 1 of 2 | 100.0 % |" in str(table)
    assert "| after the first alarm | present (0.950) | CLEAN | 0 of 0 | - | - | - | - |" in str(table)
