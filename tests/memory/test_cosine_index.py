import faiss
import numpy as np
import pytest

from flow_rag_vla.memory.index import CosineIndex

EAST = (1.0, 0.0, 0.0, 0.0)
NORTH = (0.0, 1.0, 0.0, 0.0)
UP = (0.0, 0.0, 1.0, 0.0)
EAST_BY_NORTH = (0.8, 0.6, 0.0, 0.0)


def test_an_empty_index_finds_nothing() -> None:
    result = CosineIndex(4).search([EAST, NORTH], k=3)
    assert result.case_ids.shape == result.similarity.shape == result.valid.shape == (2, 3)
    assert not result.valid.any()
    assert not result.hit.any()
    assert not result.case_ids.any()
    assert not result.similarity.any()


def test_no_queries_give_no_rows() -> None:
    index = CosineIndex(4)
    assert index.search(np.zeros((0, 4)), k=3).case_ids.shape == (0, 3)
    index.add([1], [EAST])
    assert index.search(np.zeros((0, 4)), k=3).case_ids.shape == (0, 3)


def test_asking_for_more_than_there_is_pads_with_masked_zeros() -> None:
    index = CosineIndex(4)
    index.add([1, 2], [EAST, NORTH])
    result = index.search([EAST_BY_NORTH], k=4)
    np.testing.assert_array_equal(result.case_ids, [[1, 2, 0, 0]])
    np.testing.assert_allclose(result.similarity, [[0.8, 0.6, 0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(result.valid, [[True, True, False, False]])


def test_less_similar_cases_are_masked() -> None:
    index = CosineIndex(4)
    index.add([1, 2], [EAST, NORTH])
    result = index.search([EAST_BY_NORTH], k=2, min_similarity=0.7)
    np.testing.assert_array_equal(result.case_ids, [[1, 0]])
    np.testing.assert_array_equal(result.valid, [[True, False]])


def test_opposite_states_are_found_with_similarity_minus_one() -> None:
    index = CosineIndex(4)
    index.add([1], [EAST])
    result = index.search([(-2.0, 0.0, 0.0, 0.0)], k=1)
    assert result.valid.all()
    assert result.similarity[0, 0] == -1.0


def test_a_case_with_several_keys_is_found_once_by_its_best_key() -> None:
    index = CosineIndex(4)
    index.add([1, 1, 1, 2], [EAST, EAST_BY_NORTH, (0.9, 0.1, 0.0, 0.0), UP])
    result = index.search([EAST], k=2)
    np.testing.assert_array_equal(result.case_ids, [[1, 2]])
    np.testing.assert_array_equal(result.similarity, [[1.0, 0.0]])


def test_ties_go_to_the_older_case() -> None:
    index = CosineIndex(4)
    index.add([3, 5, 9], [EAST, EAST, EAST])
    np.testing.assert_array_equal(index.search([EAST], k=3).case_ids, [[3, 5, 9]])


@pytest.mark.parametrize("num_queries", [1, 30])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_ties_go_to_the_older_case_however_many_there_are(num_queries: int, k: int) -> None:
    index = CosineIndex(4)
    index.add(np.repeat(np.arange(3, 203), 2), [EAST, UP] * 20 + [NORTH, EAST] * 180)
    found = index.search([NORTH] * num_queries, k=k)
    np.testing.assert_array_equal(found.case_ids, [range(23, 23 + k)] * num_queries)
    assert found.valid.all()
    np.testing.assert_array_equal(index.search([NORTH], k=300, min_similarity=0.5).valid.sum(), 180)


def test_a_removed_case_is_not_found_and_the_others_stay() -> None:
    index = CosineIndex(4)
    index.add([1, 2, 2, 3], [EAST, NORTH, EAST_BY_NORTH, UP])
    index.remove([2, 77])
    np.testing.assert_array_equal(index.row_case_ids, [1, 3])
    np.testing.assert_array_equal(index.keys, [EAST, UP])
    assert not index.search([NORTH], k=3, min_similarity=0.1).hit[0]


def test_a_clone_does_not_follow_the_original() -> None:
    index = CosineIndex(4)
    index.add([1], [EAST])
    copy = index.clone()
    index.add([2], [NORTH])
    index.remove([1])
    np.testing.assert_array_equal(copy.row_case_ids, [1])
    np.testing.assert_array_equal(copy.keys, [EAST])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    index = CosineIndex(4)
    with pytest.raises(ValueError, match="1 of 2 rows, first in row 1"):
        index.add([1, 2], [EAST, (bad, 0.0, 0.0, 0.0)])
    with pytest.raises(ValueError, match="finite rows"):
        index.search([(bad, 0.0, 0.0, 0.0)], k=1)
    assert len(index) == 0


def test_a_wrong_dimension_is_named() -> None:
    index = CosineIndex(4)
    with pytest.raises(ValueError, match=r"expected shape \(n, 4\), got \(1, 3\)"):
        index.add([1], [(1.0, 0.0, 0.0)])
    with pytest.raises(ValueError, match=r"expected shape \(n, 4\), got \(4,\)"):
        index.search(EAST, k=1)
    with pytest.raises(ValueError, match="k: expected at least 1, got 0"):
        index.search([EAST], k=0)


@pytest.mark.parametrize("ids", [[0, 1], [2, 1], [1]])
def test_ids_must_be_new_and_ascending(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="case_ids: expected"):
        CosineIndex(4).add(ids, [EAST, NORTH])


def test_a_thousand_queries_agree_with_brute_force() -> None:
    rng = np.random.default_rng(7)
    keys = rng.normal(size=(3000, 64))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    case_ids = np.repeat(np.arange(1, 1001), 3)
    queries = rng.normal(size=(1000, 64))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    index = CosineIndex(64)
    index.add(case_ids, keys)
    result = index.search(queries, k=5)

    of_case = (queries @ keys.T).reshape(1000, 1000, 3).max(axis=2)
    nearest = np.argsort(-of_case, axis=1)[:, :5]
    np.testing.assert_array_equal(result.case_ids, nearest + 1)
    np.testing.assert_allclose(result.similarity, np.take_along_axis(of_case, nearest, axis=1), atol=1e-6)


def test_a_batch_answers_each_query_bit_for_bit_as_if_it_were_alone() -> None:
    rng = np.random.default_rng(3)
    index = CosineIndex(512)
    index.add(np.repeat(np.arange(1, 201), 4), rng.normal(size=(800, 512)))
    queries = rng.normal(size=(300, 512))
    batch = index.search(queries, k=5)
    for row, query in enumerate(queries):
        single = index.search(query[None], k=5)
        np.testing.assert_array_equal(single.case_ids[0], batch.case_ids[row])
        np.testing.assert_array_equal(single.similarity[0], batch.similarity[row])


def test_the_thread_count_changes_neither_the_answer_nor_the_callers_setting() -> None:
    rng = np.random.default_rng(5)
    keys, queries = rng.normal(size=(500, 32)), rng.normal(size=(64, 32))
    before = faiss.omp_get_max_threads()
    results = []
    for num_threads in (1, 2):
        index = CosineIndex(32, num_threads)
        index.add(np.arange(1, 501), keys)
        results.append(index.search(queries, k=3))
    np.testing.assert_array_equal(results[0].similarity, results[1].similarity)
    np.testing.assert_array_equal(results[0].case_ids, results[1].case_ids)
    assert faiss.omp_get_max_threads() == before


def test_the_version_is_another_once_rows_have_come_or_gone() -> None:
    index = CosineIndex(4)
    versions = [index.version]
    index.add([1, 2], [EAST, NORTH])
    versions.append(index.version)
    index.search([EAST], k=2)
    index.remove([7])
    assert index.version == versions[-1]
    index.remove([1])
    versions.append(index.version)
    index.add([3], [UP])
    versions.append(index.version)
    assert len(set(versions)) == 4


@pytest.mark.parametrize(("min_similarity", "scanned"), [(0.5, 40), (0.7, 0)])
def test_only_ties_among_hits_are_looked_for_among_all_keys(
    monkeypatch: pytest.MonkeyPatch, min_similarity: float, scanned: int
) -> None:
    index = CosineIndex(4)
    index.add(np.arange(1, 302), [UP, *[EAST_BY_NORTH] * 300])  # 0.6 of NORTH; UP is nothing like it
    calls: list[int] = []
    nearest = index._nearest_rows
    monkeypatch.setattr(index, "_nearest_rows", lambda rows, k: calls.append(len(rows)) or nearest(rows, k))
    found = index.search([NORTH] * 40, k=3, min_similarity=min_similarity)
    assert calls == [scanned]
    expected = [[2, 3, 4]] if scanned else [[0, 0, 0]]
    np.testing.assert_array_equal(found.case_ids, expected * 40)


def test_a_hit_above_ties_that_are_no_hits_counts_by_its_best_key() -> None:
    rng = np.random.default_rng(0)
    key = rng.normal(size=32)
    close = key + 1e-7 * rng.normal(size=(8, 32))  # as far as float32 tells them apart
    other = rng.normal(size=32)
    index = CosineIndex(32)
    index.add(np.repeat([1, 2, 3, 4], [8, 1, 1, 1]), [*close, other, other, other])
    queries = np.float32(key + 0.1 * rng.normal(size=(50, 32)))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    found = index.search(queries, k=2, min_similarity=0.8)
    best = np.einsum("kd,bd->bk", index.keys[:8], index._checked(queries)).max(axis=1)
    np.testing.assert_array_equal(found.valid, [[True, False]] * 50)
    np.testing.assert_array_equal(found.similarity[:, 0], best)


def test_many_ties_are_scanned_in_blocks_with_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    index = CosineIndex(4)
    index.add(np.arange(1, 401), [EAST] * 20 + [NORTH] * 380)
    monkeypatch.setattr("flow_rag_vla.memory.index._SCANNED", 800)  # two queries at once
    found = index.search([NORTH, EAST_BY_NORTH, EAST] * 3, k=3)
    np.testing.assert_array_equal(found.case_ids, [[21, 22, 23], [1, 2, 3], [1, 2, 3]] * 3)
