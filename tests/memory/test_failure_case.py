from collections.abc import Callable

import numpy as np
import pytest

from flow_rag_vla.memory.case import FailureCase, unit_rows

CaseMaker = Callable[..., FailureCase]
EAST = (1.0, 0.0, 0.0, 0.0)
NORTH = (0.0, 1.0, 0.0, 0.0)


def test_a_case_scales_its_keys_to_unit_length(make_case: CaseMaker) -> None:
    case = make_case((3.0, 4.0, 0.0, 0.0), (0.0, 0.0, 5.0, 0.0))
    np.testing.assert_allclose(case.key_states, [[0.6, 0.8, 0, 0], [0, 0, 1, 0]], rtol=1e-6)


def test_scaling_a_unit_row_again_keeps_its_bits() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(1000, 512)))
    np.testing.assert_array_equal(unit_rows(rows), rows)


def test_a_single_row_is_a_window_of_one(make_case: CaseMaker) -> None:
    assert make_case(key_states=np.array(EAST)).key_states.shape == (1, 4)


def test_a_case_does_not_share_memory_with_its_caller_and_cannot_be_written(
    make_case: CaseMaker,
) -> None:
    keys = np.array([EAST], dtype=np.float32)
    case = make_case(key_states=keys)
    keys[:] = NORTH
    np.testing.assert_array_equal(case.key_states, [EAST])
    with pytest.raises(ValueError, match="read-only"):
        case.correction[0, 0] = 1.0


def test_confidence_is_the_posterior_mean_of_the_best_candidate(make_case: CaseMaker) -> None:
    case = make_case(counts=np.array([[0, 3], [4, 0]]))
    np.testing.assert_array_equal(case.posterior, [[2, 4], [5, 1]])
    assert case.confidence == pytest.approx(5 / 6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_key_without_direction_is_refused(make_case: CaseMaker, bad: float) -> None:
    with pytest.raises(ValueError, match="1 of 2 rows, first in row 1"):
        make_case(EAST, (bad, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"failed_action": np.zeros(7)}, r"expected shape \(horizon, 7\), got \(7,\)"),
        ({"failed_action": np.zeros((2, 7))}, r"failed_action's shape \(2, 7\), got \(1, 7\)"),
        ({"correction": np.full((1, 7), np.nan)}, "correction: expected finite"),
        ({"prior": np.ones(2)}, r"expected shape \(num_candidates, 2\)"),
        ({"prior": np.zeros((1, 2))}, "above zero"),
        ({"counts": np.zeros((3, 2))}, r"expected the prior's shape \(2, 2\), got \(3, 2\)"),
        ({"counts": np.array([[0, -1], [0, 0]])}, "counts of at least 0"),
        ({"key_states": np.zeros((0, 4))}, "at least one key"),
        ({"key_states": np.zeros((1, 2, 2))}, r"expected shape \(n, embedding_dim\)"),
    ],
)
def test_a_malformed_case_is_refused(make_case: CaseMaker, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_case(**changes)


def test_state_chunk_type_and_correction_are_enough() -> None:
    chunk = np.zeros((1, 7), dtype=np.float32)
    case = FailureCase(np.array(EAST, dtype=np.float32), chunk, "drop", chunk)
    assert case.confidence == 0.5
