from collections.abc import Callable

import numpy as np
import pytest

from flow_rag_vla.memory.case import ClusterKey, FailureCase
from flow_rag_vla.memory.failure_memory import FailureMemory, FrozenMemoryError

CaseMaker = Callable[..., FailureCase]
EAST = (1.0, 0.0, 0.0, 0.0)
NORTH = (0.0, 1.0, 0.0, 0.0)
UP = (0.0, 0.0, 1.0, 0.0)
FOURTH = (0.0, 0.0, 0.0, 1.0)
NEARLY_EAST = (1.0, 0.1, 0.0, 0.0)


def make_memory(**changes: float) -> FailureMemory:
    settings: dict[str, float] = {"embedding_dim": 4, "num_candidates": 2}
    return FailureMemory(**(settings | changes))  # pyright: ignore[reportArgumentType]


def on_circle(degrees: float) -> tuple[float, ...]:
    return (float(np.cos(np.deg2rad(degrees))), float(np.sin(np.deg2rad(degrees))), 0.0, 0.0)


def test_recall_returns_nothing_from_an_empty_memory() -> None:
    memory = make_memory()
    result = memory.search([EAST, NORTH])
    assert result.case_ids.shape == (2, 5)
    assert not result.hit.any()
    assert memory.corrections(result.case_ids).shape == (2, 5, 1, 7)
    assert not memory.best_candidates(result.case_ids).reliability.any()


def test_the_guides_calls_remember_and_recall_one_failure() -> None:
    memory = FailureMemory(embedding_dim=4)
    action, correction = np.full(7, 0.25), np.full(7, 0.325)
    assert memory.add_failure(EAST, action, "grasp_failure", correction)
    assert not memory.add_failure(NEARLY_EAST, action, "grasp_failure", correction)
    result = memory.search(EAST, k=2)
    np.testing.assert_array_equal(result.case_ids, [[1, 0]])
    np.testing.assert_allclose(memory.corrections(result.case_ids)[0, 0, 0], 0.325)
    assert memory.case(1).occurrences == 2


def test_every_state_of_the_window_recalls_the_failure(make_case: CaseMaker) -> None:
    memory = make_memory()
    memory.add([make_case(EAST, NORTH, UP)])
    np.testing.assert_array_equal(memory.search([EAST, NORTH, UP, FOURTH]).hit, [1, 1, 1, 0])
    assert (len(memory), memory.num_keys) == (1, 3)


def test_unlike_states_recall_nothing(make_case: CaseMaker) -> None:
    memory = make_memory(similarity_threshold=0.9)
    memory.add([make_case(EAST)])
    np.testing.assert_array_equal(memory.search([on_circle(25), on_circle(26)]).hit, [True, False])


def test_gathered_columns_follow_the_ids_and_are_zero_where_there_is_no_case(
    make_case: CaseMaker,
) -> None:
    memory = make_memory()
    memory.add([make_case(EAST, grip=0.2), make_case(NORTH, grip=0.4, failure_type="drop")])
    ids = np.array([[2, 0], [1, 2]])
    np.testing.assert_allclose(memory.failed_actions(ids)[..., 0, 0], [[0.4, 0], [0.2, 0.4]])
    np.testing.assert_allclose(memory.corrections(ids)[..., 0, 6], [[0.52, 0], [0.26, 0.52]])
    assert memory.failure_types(ids).tolist() == [["drop", ""], ["grasp_failure", "drop"]]
    assert memory.candidate_means(ids).shape == (2, 2, 2)
    assert not memory.candidate_means(ids)[0, 1].any()


def test_a_repeated_failure_is_merged_into_the_first(make_case: CaseMaker) -> None:
    memory = make_memory()
    first = memory.add([make_case(EAST, grip=0.2), make_case(NORTH)])
    again = memory.add([make_case(NEARLY_EAST, grip=0.9)])
    assert (first.added, first.merged) == ((1, 2), ())
    assert (again.case_ids, again.is_new, again.merged) == ((1,), (False,), (1,))
    assert [memory.case(i).occurrences for i in (1, 2)] == [2, 1]
    np.testing.assert_allclose(memory.case(1).failed_action, 0.2)
    assert memory.num_keys == 2


def test_repeats_within_one_batch_are_merged_too(make_case: CaseMaker) -> None:
    memory = make_memory()
    report = memory.add([make_case(EAST), make_case(NORTH), make_case(EAST), make_case(EAST)])
    assert report.case_ids == (1, 2, 1, 1)
    assert memory.case(1).occurrences == 3


@pytest.mark.parametrize("change", [{"failure_type": "drop"}, {"phase": "carry"}])
def test_another_type_or_phase_in_the_same_state_is_another_failure(
    make_case: CaseMaker, change: dict[str, str]
) -> None:
    memory = make_memory()
    assert memory.add([make_case(EAST), make_case(EAST, **change)]).added == (1, 2)


def test_the_same_failure_binned_elsewhere_is_still_a_repeat(make_case: CaseMaker) -> None:
    memory = make_memory()
    memory.add([make_case(EAST)])
    assert memory.add([make_case(NEARLY_EAST, region="1,0")]).merged == (1,)
    assert list(memory.clusters) == [ClusterKey("grasp_failure", "lift", "0,0")]


def test_a_window_that_is_only_partly_known_is_kept(make_case: CaseMaker) -> None:
    memory = make_memory()
    memory.add([make_case(EAST, NORTH)])
    assert memory.add([make_case(NORTH)]).merged == (1,)
    assert memory.add([make_case(UP, NORTH)]).added == (2,)
    assert memory.search([UP]).hit.all()


def test_the_duplicate_threshold_is_the_guides_distance_as_a_cosine(make_case: CaseMaker) -> None:
    """Squared distance 0.1 between unit rows is cosine 0.95: 18.2 degrees."""
    memory = make_memory()
    memory.add([make_case(EAST)])
    assert memory.add([make_case(on_circle(18.1))]).merged == (1,)
    assert memory.add([make_case(on_circle(18.3))]).added == (2,)


def test_adding_one_by_one_or_at_once_leaves_the_same_memory(make_case: CaseMaker) -> None:
    cases = [make_case(on_circle(11 * i), on_circle(7 * i)) for i in range(200)]
    at_once, one_by_one = make_memory(), make_memory()
    at_once.add(cases)
    for case in cases:
        one_by_one.add([case])
    np.testing.assert_array_equal(at_once.case_ids, one_by_one.case_ids)
    for case_id in at_once.case_ids.tolist():
        np.testing.assert_array_equal(at_once.case(case_id).key_states, one_by_one.case(case_id).key_states)
        assert at_once.case(case_id).occurrences == one_by_one.case(case_id).occurrences


def test_pruning_keeps_every_cluster_and_clusters_name_only_what_is_left(
    make_case: CaseMaker,
) -> None:
    memory = make_memory(max_size=4, duplicate_threshold=1.0)
    report = memory.add(
        [make_case(on_circle(i), region="left") for i in range(7)]
        + [make_case(UP, region="right"), make_case(UP, failure_type="drop")]
        + [make_case(UP, phase="carry")]
    )
    assert report.pruned == (1, 2, 3, 4, 5, 6)
    assert memory.clusters == {
        ClusterKey("grasp_failure", "lift", "left"): (7,),
        ClusterKey("grasp_failure", "lift", "right"): (8,),
        ClusterKey("drop", "lift", "0,0"): (9,),
        ClusterKey("grasp_failure", "carry", "0,0"): (10,),
    }
    assert memory.num_keys == len(memory) == 4
    assert memory.search([on_circle(6)], k=1).case_ids[0, 0] == 7


def test_pruning_forgets_the_least_confident_case_first(make_case: CaseMaker) -> None:
    memory = make_memory(max_size=3)
    memory.add([make_case(EAST), make_case(NORTH), make_case(UP)])
    memory.record_outcomes([1, 2, 2, 3], [0, 0, 1, 0], [True, False, False, True])
    assert memory.add([make_case(FOURTH)]).pruned == (2,)


def test_ids_of_forgotten_cases_are_not_given_out_again(make_case: CaseMaker) -> None:
    memory = make_memory(max_size=1)
    memory.add([make_case(EAST)])
    assert memory.add([make_case(NORTH)]).case_ids == (2,)
    with pytest.raises(KeyError, match="no case with id 1"):
        memory.case(1)


def test_failures_of_a_candidate_make_the_next_one_the_best(make_case: CaseMaker) -> None:
    memory = make_memory()
    memory.add([make_case(EAST)])
    before = memory.best_candidates([1])
    assert (before.candidate[0], before.reliability[0]) == (0, pytest.approx(2 / 3))
    memory.record_outcomes([1, 1], [0, 0], [False, False])
    after = memory.best_candidates([1])
    assert (after.candidate[0], after.reliability[0]) == (1, pytest.approx(1 / 2))
    memory.record_outcomes([1], [1], [True])
    assert memory.best_candidates([1]).reliability[0] == pytest.approx(2 / 3)
    np.testing.assert_array_equal(memory.case(1).counts, [[0, 2], [1, 0]])


def test_outcomes_of_one_case_guide_the_others_of_its_cluster_only(make_case: CaseMaker) -> None:
    memory = make_memory()
    memory.add([make_case(EAST), make_case(NORTH), make_case(UP, region="elsewhere")])
    memory.record_outcomes([1] * 6, [0] * 6, [False] * 6)
    np.testing.assert_array_equal(memory.best_candidates([1, 2, 3]).candidate, [1, 1, 0])
    np.testing.assert_allclose(memory.candidate_means([1, 2, 3])[:, 0], [2 / 9, 2 / 7, 2 / 3])
    assert memory.case(2).counts[:, 1].sum() == 0


def test_own_outcomes_overrule_the_cluster(make_case: CaseMaker) -> None:
    memory = make_memory()
    memory.add([make_case(EAST), make_case(NORTH)])
    memory.record_outcomes([1] * 100, [0] * 100, [False] * 100)
    memory.record_outcomes([2] * 6, [0] * 6, [True] * 6)
    np.testing.assert_array_equal(memory.best_candidates([1, 2]).candidate, [1, 0])


def test_what_a_cluster_learned_outlives_the_case_it_was_learned_on(make_case: CaseMaker) -> None:
    memory = make_memory(max_size=1)
    memory.add([make_case(EAST)])
    memory.record_outcomes([1] * 4, [0] * 4, [False] * 4)
    assert memory.add([make_case(NORTH)]).pruned == (1,)
    assert memory.best_candidates([2]).candidate[0] == 1


def test_counts_that_a_case_brings_along_are_kept(make_case: CaseMaker) -> None:
    memory = make_memory()
    counts = np.array([[1, 2], [3, 0]])
    memory.add([make_case(EAST, counts=counts), make_case(EAST, counts=counts)])
    np.testing.assert_array_equal(memory.case(1).counts, 2 * counts)


def test_a_frozen_memory_refuses_writes_and_does_not_follow_the_original(
    make_case: CaseMaker,
) -> None:
    memory = make_memory()
    memory.add([make_case(EAST)])
    frozen = memory.frozen()
    for write in (
        lambda: frozen.add([make_case(NORTH)]),
        lambda: frozen.add_failure(NORTH, np.zeros(7), "drop", np.zeros(7)),
        lambda: frozen.record_outcomes([1], [0], [True]),
    ):
        with pytest.raises(FrozenMemoryError, match="frozen"):
            write()
    memory.add([make_case(NORTH)])
    memory.record_outcomes([1, 1], [0, 0], [False, False])
    assert (len(frozen), len(memory)) == (1, 2)
    assert not frozen.search([NORTH]).hit[0]
    assert frozen.best_candidates([1]).candidate[0] == 0


def test_a_bad_case_leaves_the_memory_as_it_was(make_case: CaseMaker) -> None:
    memory = make_memory()
    long_chunk = np.zeros((8, 7))
    for bad, message in (
        (make_case(key_states=np.ones((1, 5))), "case 1: embedding_dim is 5, expected 4"),
        (make_case(failed_action=long_chunk, correction=long_chunk), "horizon is 8, expected 1"),
        (make_case(prior=np.ones((3, 2))), "num_candidates is 3, expected 2"),
    ):
        with pytest.raises(ValueError, match=message):
            memory.add([make_case(EAST), bad])
    with pytest.raises(ValueError, match="nan"):
        memory.add_failure([np.nan, 0, 0, 0], np.zeros(7), "drop", np.zeros(7))
    assert len(memory) == memory.num_keys == 0


def test_bad_outcomes_are_refused_and_not_counted(make_case: CaseMaker) -> None:
    memory = make_memory()
    memory.add([make_case(EAST)])
    with pytest.raises(ValueError, match="expected 0 to 1, got 0 to 2"):
        memory.record_outcomes([1, 1], [0, 2], [True, True])
    with pytest.raises(ValueError, match="one shape"):
        memory.record_outcomes([1, 1], [0], [True])
    with pytest.raises(KeyError, match="no case with id 0"):
        memory.record_outcomes([0], [0], [True])
    assert memory.case(1).counts[:, 0].sum() == 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_size", 0),
        ("similarity_threshold", 1.5),
        ("duplicate_threshold", -2.0),
        ("cluster_weight", -1.0),
        ("horizon", 0),
        ("num_candidates", 0),
        ("search_threads", 0),
    ],
)
def test_a_setting_out_of_range_is_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=str(value)):
        make_memory(**{setting: value})


def test_adding_nothing_changes_nothing() -> None:
    report = make_memory().add([])
    assert (report.case_ids, report.is_new, report.pruned) == ((), (), ())


def test_the_size_in_bytes_grows_with_the_keys(make_case: CaseMaker) -> None:
    memory = make_memory()
    empty = memory.num_bytes
    memory.add([make_case(EAST, NORTH)])
    in_index_and_case = 2 * 2 * 4 * 4
    assert memory.num_bytes - empty >= in_index_and_case
