"""The gain over doing nothing, against closed forms and against the exact difference of two Beta distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from flow_rag_vla.memory.evidence.uplift import Beta, kernel_weight, uplift_bounds


def beta(worked: float, did_not: float) -> Beta[np.ndarray]:
    return Beta(np.array(worked), np.array(did_not))


def test_a_uniform_chance_has_mean_a_half_and_variance_a_twelfth() -> None:
    assert beta(1, 1).mean == 0.5
    assert beta(1, 1).variance == pytest.approx(1 / 12)


def test_without_caution_both_bounds_are_the_difference_of_the_means() -> None:
    assert uplift_bounds(beta(3, 1), beta(1, 3), 0.0) == pytest.approx((0.5, 0.5))


def test_two_uniform_chances_differ_by_a_sixth_of_variance() -> None:
    spread = (1 / 6) ** 0.5
    assert uplift_bounds(beta(1, 1), beta(1, 1), 1.0) == pytest.approx((-spread, spread))


def test_evidence_narrows_the_bounds() -> None:
    few, many = uplift_bounds(beta(3, 1), beta(1, 3), 1.0), uplift_bounds(beta(30, 10), beta(10, 30), 1.0)
    assert few[0] < many[0] < 0.5 < many[1] < few[1]


@pytest.mark.parametrize("something", [(1.2, 0.8), (3.2, 1.8), (12.0, 4.0)])
@pytest.mark.parametrize("nothing", [(0.5, 1.5), (3.5, 2.5), (20.5, 1.5)])
@pytest.mark.parametrize("z", [1.0, 0.25])
def test_the_lower_bound_is_near_the_quantile_that_it_names(
    something: tuple[float, float], nothing: tuple[float, float], z: float
) -> None:
    bound = float(uplift_bounds(beta(*something), beta(*nothing), z)[0])
    exact, _ = integrate.quad(
        lambda p: stats.beta.pdf(p, *nothing) * stats.beta.sf(p + bound, *something), 0.0, 1.0, limit=200
    )
    assert exact == pytest.approx(stats.norm.cdf(z), abs=0.08)


def test_tensors_give_what_arrays_give() -> None:
    bounds = uplift_bounds(Beta(torch.tensor(3.0), torch.tensor(1.0)), Beta(torch.tensor(1.0), torch.tensor(3.0)), 1.0)
    of_arrays = uplift_bounds(beta(3, 1), beta(1, 3), 1.0)
    assert [float(bound) for bound in bounds] == pytest.approx([float(bound) for bound in of_arrays], abs=1e-6)


def test_the_same_situation_counts_fully_and_one_at_the_threshold_not_at_all() -> None:
    weights = kernel_weight(np.array([1.0, 0.95, 0.9, 0.2]), 0.9)
    np.testing.assert_allclose(weights, [1.0, 0.5, 0.0, 0.0], atol=1e-12)
