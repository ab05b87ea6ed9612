"""Every estimator against a closed form, a hand value or its simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from flow_rag_vla.benchmark.scoring import statistics as st


def wilson_closed_form(k: int, n: int) -> tuple[float, float]:
    z = 1.959963984540054
    p, denominator = k / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / denominator
    half = z / denominator * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


@pytest.mark.parametrize(("k", "n"), [(0, 10), (3, 10), (10, 10), (81, 263), (1, 1), (0, 1), (999, 1024)])
def test_the_wilson_interval_is_its_closed_form_and_scipys(k: int, n: int):
    interval = st.proportion(k, n).ci95
    assert interval == pytest.approx(wilson_closed_form(k, n), abs=1e-12)
    reference = stats.binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert interval == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_no_observations_give_none_and_never_zero():
    empty = st.proportion(0, 0)
    assert (empty.rate, empty.ci95) == (None, None)
    rng = np.random.default_rng(0)
    assert st.paired_difference([], [], rng) == st.PairedDifference(0, None, None)
    assert st.newcombe_paired_interval([], []) is None
    assert st.paired_reduction([], [], rng) == st.PairedReduction(0, None, None)
    assert st.bonett_price_interval([], []) is None
    assert st.tost_paired([], []) is None
    assert st.holm([]) == []


@pytest.mark.parametrize(("k", "n"), [(-1, 4), (5, 4)])
def test_an_impossible_proportion_is_refused(k: int, n: int):
    with pytest.raises(ValueError, match=f"{k} of {n}"):
        st.proportion(k, n)


def paired(both: int, gained: int, lost: int, neither: int) -> tuple[list[bool], list[bool]]:
    arm = [True] * both + [True] * gained + [False] * lost + [False] * neither
    reference = [True] * both + [False] * gained + [True] * lost + [False] * neither
    return arm, reference


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (5, 0, 2 * 0.5**5), (1, 9, 2 * (1 + 10) * 0.5**10), (3, 3, 1.0)],
)
def test_mcnemar_is_the_binomial_sum_over_discordant_pairs(gained: int, lost: int, p: float):
    result = st.mcnemar_exact(*paired(7, gained, lost, 2))
    assert (result.gained, result.lost) == (gained, lost)
    assert result.p == pytest.approx(p)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(1,\)"):
        st.mcnemar_exact([True, False], [True])


def test_the_newcombe_interval_matches_a_hand_computed_case():
    # 20 pairs, 12 both, 5 gained, 1 lost, 2 neither: p1 = 17/20, p2 = 13/20, phi = (19 - 10) / ...
    (l1, u1), (l2, u2) = wilson_closed_form(17, 20), wilson_closed_form(13, 20)
    phi = (12 * 2 - 5 * 1 - 10) / math.sqrt(17 * 3 * 13 * 7)
    d1, d2 = 0.85 - l1, u2 - 0.65
    e1, e2 = u1 - 0.85, 0.65 - l2
    expected = (
        0.2 - math.sqrt(d1**2 - 2 * phi * d1 * d2 + d2**2),
        0.2 + math.sqrt(e1**2 - 2 * phi * e1 * e2 + e2**2),
    )
    assert st.newcombe_paired_interval(*paired(12, 5, 1, 2)) == pytest.approx(expected)


def test_the_newcombe_interval_mirrors_when_the_arms_swap():
    arm, reference = paired(12, 5, 1, 2)
    low, high = st.newcombe_paired_interval(arm, reference) or (0, 0)
    assert st.newcombe_paired_interval(reference, arm) == pytest.approx((-high, -low))


def test_identical_arms_still_have_an_interval_of_some_width():
    result = st.paired_difference([True] * 30, [True] * 30, np.random.default_rng(0))
    assert result.difference == 0.0
    assert result.ci95 is not None
    assert result.ci95[0] < 0.0 < result.ci95[1]


def test_the_paired_interval_covers_the_true_difference():
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(300):
        u = rng.random(60)
        arm = (u < 0.75) ^ (rng.random(60) < 0.1)
        reference = (u < 0.6) ^ (rng.random(60) < 0.1)
        low, high = st.newcombe_paired_interval(arm, reference) or (1, -1)
        covered += low <= 0.12 <= high  # 0.8 * (0.75 - 0.6)
    assert 0.92 <= covered / 300 <= 0.99


def test_the_clustered_bootstrap_covers_where_rows_alone_do_not():
    rng = np.random.default_rng(11)
    sites = np.repeat(np.arange(20), 30)
    covered = {"clustered": 0, "rows": 0}
    for _ in range(100):
        values = rng.normal(0.0, 1.0, 20)[sites] + rng.normal(0.0, 0.5, 600)
        rows = np.column_stack([values, np.ones(600)])
        for name, clusters in (("clustered", sites.tolist()), ("rows", None)):
            low, high = st.paired_bootstrap(rows, lambda s: s[:, 0] / s[:, 1], rng, clusters, resamples=200) or (1, -1)
            covered[name] += low <= 0.0 <= high
    assert 0.86 <= covered["clustered"] / 100 <= 0.99
    assert covered["rows"] / 100 < 0.6


def test_the_bootstrap_of_a_mean_matches_the_normal_interval():
    rng = np.random.default_rng(3)
    values = rng.normal(2.0, 1.0, 500)
    interval = st.paired_bootstrap(np.column_stack([values, np.ones(500)]), lambda s: s[:, 0] / s[:, 1], rng)
    half = 1.96 * values.std() / math.sqrt(500)
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_the_bonett_price_interval_matches_a_hand_computed_case():
    # 12 pairs, all the reference's and none the arm's: A^2 = 14 / 13, B^2 = (1 - 1 / 14) / 1, C^2 = (1 - 13 / 14) / 13
    z = 1.959963984540054 * math.sqrt(14 / 13) / (math.sqrt(13 / 14) + math.sqrt(1 / 14 / 13))
    high1, low2 = z * z / (12 + z * z), 12 / (12 + z * z)
    assert st.bonett_price_interval([False] * 12, [True] * 12) == pytest.approx((0.0, high1 / low2))


def test_no_repeat_in_twelve_pairs_is_not_said_to_be_all_of_them_avoided():
    result = st.paired_reduction([False] * 12, [True] * 12, np.random.default_rng(0))
    assert (result.n, result.reduction, result.method) == (12, 1.0, "score")
    assert result.ci95 == pytest.approx((0.68, 1.0), abs=0.01)


@pytest.mark.parametrize("sites", [1, 10])
@pytest.mark.parametrize("n", [1, 10, 100, 1000])
@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_no_interval_has_zero_width(sites: int, n: int, ours: bool, theirs: bool):
    clusters, rng = [i % sites for i in range(n)], np.random.default_rng(0)
    arm, reference = [ours] * n, [theirs] * n
    difference = st.paired_difference(arm, reference, rng, clusters)
    reduction = st.paired_reduction(arm, reference, rng, clusters)
    assert difference.difference == ours - theirs
    for value, interval in ((difference.difference, difference.ci95), (reduction.reduction, reduction.ci95)):
        assert (value is None) == (interval is None)
        if value is not None and interval is not None:
            assert interval[0] <= value <= interval[1]
            assert interval[1] - interval[0] > 0.001
    assert reduction.reduction == ((None if not theirs else 0.0) if ours or not theirs else 1.0)


@pytest.mark.parametrize(("p_arm", "p_reference"), [(0.05, 0.8), (0.4, 0.5), (0.02, 0.2)])
def test_the_reduction_interval_covers_the_true_reduction(p_arm: float, p_reference: float):
    rng = np.random.default_rng(17)
    covered = counted = 0
    for _ in range(600):
        u = rng.random(80)
        arm = np.where(rng.random(80) < 0.3, u, rng.random(80)) < p_arm  # correlated with the reference
        ratio = st.bonett_price_interval(arm, u < p_reference)
        if ratio is not None:
            counted += 1
            covered += ratio[0] <= p_arm / p_reference <= ratio[1]
    assert 0.93 <= covered / counted <= 0.995


def test_the_wider_of_score_and_site_interval_is_reported():
    sites = [i // 20 for i in range(200)]
    by_site = [site % 2 == 0 for site in sites]  # whole sites gain or lose
    mixed = [i % 2 == 0 for i in range(200)]  # each site gains half
    for arm, method in ((by_site, "sites"), (mixed, "score")):
        rng = np.random.default_rng(1)
        result = st.paired_difference(arm, [not value for value in arm], rng, sites)
        score = st.newcombe_paired_interval(arm, [not value for value in arm]) or (0.0, 0.0)
        assert result.method == method
        assert result.ci95 is not None
        assert result.ci95[1] - result.ci95[0] >= score[1] - score[0]
    few = st.paired_difference(by_site[:80], [False] * 80, np.random.default_rng(1), sites[:80])
    assert few.method == "score"  # four sites


def test_the_same_generator_state_gives_the_same_interval():
    arm, reference = paired(20, 10, 4, 9)
    sites = [i % 7 for i in range(43)]
    a = st.paired_reduction(arm, reference, np.random.default_rng(5), sites)
    assert a == st.paired_reduction(arm, reference, np.random.default_rng(5), sites)
    assert a.ci95 is not None


def test_a_ratio_without_denominator_has_no_interval():
    result = st.paired_reduction([True] * 9, [False] * 9, np.random.default_rng(0))
    assert result == st.PairedReduction(9, None, None)


def test_the_ratio_interval_brackets_its_value():
    arm, reference = paired(40, 5, 60, 95)
    result = st.paired_reduction(arm, reference, np.random.default_rng(0))
    assert result.reduction == pytest.approx(1 - 45 / 100)
    assert result.ci95 is not None
    assert result.ci95[0] < 1 - 45 / 100 < result.ci95[1]


def test_holm_matches_a_hand_computed_family():
    # Sorted .01 .03 .04 times 3 2 1, made monotone: .03 .06 .06
    assert st.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert st.holm([0.9, 0.8]) == [1.0, 1.0]


def test_equal_latencies_are_equivalent_and_a_shift_by_the_margin_is_not():
    rng = np.random.default_rng(0)
    base = rng.normal(20.0, 2.0, 400)
    noise = rng.normal(0.0, 0.5, 400)
    equal = st.tost_paired(base + noise, base, margin=1.0)
    shifted = st.tost_paired(base + noise + 1.0, base, margin=1.0)
    assert equal is not None
    assert equal.equivalent
    assert -1.0 < equal.ci90[0] < equal.ci90[1] < 1.0
    assert shifted is not None
    assert not shifted.equivalent


def test_tost_rejects_at_its_level_on_the_edge_of_the_margin():
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(1000):
        result = st.tost_paired(rng.normal(1.0, 2.0, 40), np.zeros(40), margin=1.0)
        rejected += result is not None and result.equivalent
    assert 0.03 <= rejected / 1000 <= 0.07


def test_constant_differences_are_decided_without_a_spread():
    inside = st.tost_paired([1.5, 2.5, 3.5], [1.0, 2.0, 3.0], margin=1.0)
    outside = st.tost_paired([3.0, 4.0], [1.0, 2.0], margin=1.0)
    assert inside is not None
    assert inside.equivalent
    assert outside is not None
    assert not outside.equivalent


def test_a_margin_of_zero_is_refused():
    with pytest.raises(ValueError, match="not positive"):
        st.tost_paired([1.0, 2.0], [1.0, 2.0], margin=0.0)


def test_a_proportion_says_its_counts_and_its_interval_in_percent():
    assert str(st.proportion(253, 256)) == "253/256 [96.6, 99.6]"
    assert str(st.proportion(0, 0)) == "-"
