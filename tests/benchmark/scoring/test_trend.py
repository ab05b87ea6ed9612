"""Two independent runs: the published intervals of a difference, and no trend that they do not bear out."""

from __future__ import annotations

import numpy as np
import pytest

from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.benchmark.scoring.statistics.prevalence import Estimate, estimate
from flow_rag_vla.benchmark.scoring.statistics.trend import Trend, independent_difference, per_doubling, trend


def share(k: int, n: int) -> Estimate:
    value = proportion(k, n)
    found = estimate(value.rate, value.ci95)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("later", "earlier", "interval"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, p. 873 ff., table II, method 10.
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((0, 10), (0, 10), (-0.2775, 0.2775)),
        ((10, 10), (0, 20), (0.6791, 1.0000)),
    ],
)
def test_the_difference_of_independent_shares_has_newcombes_interval(later, earlier, interval):
    change = independent_difference(share(*later), share(*earlier))
    assert change.value == pytest.approx(later[0] / later[1] - earlier[0] / earlier[1])
    assert change.ci95 == pytest.approx(interval, abs=6e-5)


def test_the_interval_of_a_difference_covers_the_true_one():
    rng = np.random.default_rng(31)
    covered = 0
    for _ in range(1000):
        change = independent_difference(
            share(int(rng.binomial(2000, 0.66)), 2000), share(int(rng.binomial(300, 0.68)), 300)
        )
        covered += change.ci95[0] <= 0.66 - 0.68 <= change.ci95[1]
    assert 0.93 <= covered / 1000 <= 0.97


def test_the_slope_of_two_sizes_is_their_difference_by_their_doublings():
    one, other = Estimate(0.5, (0.4, 0.55)), Estimate(0.2, (0.1, 0.26))
    slope, apart = per_doubling([512, 4096], [7, 3], [one, other]), independent_difference(other, one)
    assert (slope.value, *slope.ci95) == pytest.approx([value / 3 for value in (apart.value, *apart.ci95)])


def test_the_slope_is_that_of_weighted_least_squares():
    values, weights = [0.1, 0.4, 0.3, 0.8], [1.0, 2.0, 4.0, 3.0]
    slope = per_doubling([1, 2, 8, 16], weights, [Estimate(v, (v - 0.1, v + 0.1)) for v in values])
    assert slope.value == pytest.approx(np.polyfit([0, 1, 3, 4], values, 1, w=np.sqrt(weights))[0])


@pytest.mark.parametrize("rate", [0.66, 0.01])
def test_where_nothing_changes_a_trend_is_rarely_shown(rate: float):
    rng, counts, shown = np.random.default_rng(37), (154, 308, 1226, 4910), 0
    for _ in range(1000):
        slope = per_doubling([1, 2, 8, 32], counts, [share(int(rng.binomial(n, rate)), n) for n in counts])
        shown += not slope.ci95[0] <= 0.0 <= slope.ci95[1]
    assert shown / 1000 <= 0.07


@pytest.mark.parametrize(
    ("slope", "difference", "known"),
    [
        ((0.001, 0.2), (-0.2, 0.2), Trend.RISES),
        ((-0.2, -0.001), (-0.2, 0.2), Trend.FALLS),
        ((0.0, 0.02), (0.0, 0.04), Trend.UNKNOWN),
        ((-0.02, 0.0), (-0.04, 0.0), Trend.UNKNOWN),
        ((-0.01, 0.01), (-0.05, 0.05), Trend.LEVEL),
        ((-0.01, 0.01), (-0.051, 0.02), Trend.UNKNOWN),
        ((-0.01, 0.01), (-0.02, 0.051), Trend.UNKNOWN),
        ((0.001, 0.002), (0.0, 0.01), Trend.RISES),
    ],
)
def test_a_trend_over_three_doublings_is_what_whole_intervals_say(slope, difference, known: Trend):
    ends = [Estimate(sum(ci95) / 2, ci95) for ci95 in (slope, difference)]
    assert trend(ends[0], 3.0, ends[1]) is known
