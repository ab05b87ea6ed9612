import numpy as np

from flow_rag_vla.memory.evidence.outcomes import borrowed_counts, posterior_means
from flow_rag_vla.memory.pruning import rows_to_evict


def test_the_posterior_mean_adds_prior_and_outcomes() -> None:
    means = posterior_means(np.array([[2, 1], [1, 1]], np.float32), np.array([[0, 3], [4, 0]]))
    np.testing.assert_allclose(means, [2 / 6, 5 / 6])


def test_a_case_borrows_only_what_the_others_saw() -> None:
    own, cluster = np.array([[1, 0]]), np.array([[1, 2]])
    np.testing.assert_array_equal(borrowed_counts(own, cluster, 4.0), [[0, 2]])


def test_a_large_cluster_lends_its_rate_and_no_more_than_its_weight() -> None:
    own, cluster = np.array([[0, 0]]), np.array([[300, 100]])
    np.testing.assert_allclose(borrowed_counts(own, cluster, 4.0), [[3, 1]])


def test_a_weight_of_zero_lends_nothing() -> None:
    np.testing.assert_array_equal(borrowed_counts(np.array([[0, 0]]), np.array([[9, 9]]), 0.0), 0)


def test_eviction_takes_from_the_largest_cluster_the_least_confident_then_the_oldest() -> None:
    clusters = np.array([0, 0, 0, 0, 1, 1, 2])
    confidence = np.array([0.9, 0.2, 0.5, 0.5, 0.1, 0.3, 0.0])
    np.testing.assert_array_equal(rows_to_evict(clusters, confidence, 6), [1])
    np.testing.assert_array_equal(rows_to_evict(clusters, confidence, 5), [1, 2])
    np.testing.assert_array_equal(rows_to_evict(clusters, confidence, 4), [1, 2, 3])
    np.testing.assert_array_equal(rows_to_evict(clusters, confidence, 3), [1, 2, 3, 4])


def test_nothing_is_evicted_below_the_size() -> None:
    assert not len(rows_to_evict(np.array([0, 0]), np.array([0.1, 0.2]), 2))


def test_more_clusters_than_room_lose_the_first_ones() -> None:
    np.testing.assert_array_equal(rows_to_evict(np.array([0, 1, 2]), np.ones(3), 1), [0, 1])
