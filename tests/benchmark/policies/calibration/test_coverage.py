"""Coverage is counted on episodes that no threshold was chosen on, and can fail: hand-made sites, and made-up ones."""

from __future__ import annotations

import numpy as np
import pytest

from flow_rag_vla.benchmark.policies.calibration.cover import CoverageTable, in_halves
from flow_rag_vla.benchmark.policies.calibration.coverage import (
    Choice,
    SiteTrials,
    coverage,
    is_shown_above,
    pooled,
)
from flow_rag_vla.benchmark.policies.calibration.risk_control import Trial

LIMIT, ERROR = 0.1, 0.1


def trials(num: int, *harmed_at: float) -> tuple[Trial, ...]:
    """``num`` of them, the harmless ones without advice."""
    return (Trial(0.0, False),) * (num - len(harmed_at)) + tuple(Trial(score, True) for score in harmed_at)


SITES = [
    SiteTrials(7, trials(40, 0.2, 0.4, 0.6, 0.8), trials(40, *[0.5] * 10)),
    SiteTrials(8, trials(40), trials(40, 0.9)),
]


def test_a_threshold_is_chosen_on_one_half_and_judged_on_the_other():
    # P(Binomial(40, 0.1) <= 1) = 0.080 and P(... <= 2) = 0.22: one harmed episode may be left, that at 0.8.
    found = coverage(SITES, LIMIT, ERROR, Choice.LEARN_THEN_TEST)
    assert found.thresholds == (0.6, 0.0)
    assert (found.harmed, found.advised, found.trials, found.abstained) == (1, 1, 80, 0)
    assert (found.above, found.shown) == (0, 0)


@pytest.mark.parametrize("choice", [Choice.SHARE, Choice.NONE])
def test_a_threshold_that_promises_nothing_is_caught_where_it_breaks_more_than_the_limit(choice: Choice):
    # 4 of 40 calibration episodes are just within 10 points; of the fresh ones 10 of 40 are harmed.
    found = coverage(SITES, LIMIT, ERROR, choice)
    assert found.thresholds == (0.0, 0.0)
    assert (found.harmed, found.above, found.shown) == (11, 1, 1)


def test_harm_is_shown_where_the_limit_would_hardly_make_as_much():
    # P(Binomial(40, 0.1) >= 7) = 0.0995, P(... >= 8) = 0.0419.
    assert (is_shown_above(7, 40, 0.1), is_shown_above(8, 40, 0.1)) == (False, True)
    assert not is_shown_above(0, 40, 0.1)


def test_a_share_at_the_limit_is_not_above_it():
    # 29 of 100 at 29 points, which in binary is a little less than 0.29 * 100.
    site = SiteTrials(1, trials(100), trials(100, *[0.5] * 29))
    assert coverage([site], 0.29, ERROR, Choice.NONE).above == 0
    assert coverage([site], 0.28, ERROR, Choice.NONE).above == 1


def test_with_too_few_episodes_a_site_abstains_and_is_silent():
    found = coverage([SiteTrials(1, trials(10), trials(10, 0.9))], LIMIT, ERROR, Choice.LEARN_THEN_TEST)
    assert (found.abstained, found.thresholds, found.harmed, found.advised) == (1, (1.0,), 0, 0)


def test_how_many_sites_may_be_shown_follows_from_the_promise():
    # A site is shown with a chance of 0.1 + 0.05 at most: P(Binomial(2, 0.15) <= 1) = 0.98, P(... <= 0) = 0.72.
    found = coverage(SITES, LIMIT, ERROR, Choice.NONE)
    assert (found.expected_at_most, found.is_kept) == (1, True)
    both = [SITES[0], SITES[0]]
    assert (coverage(both, LIMIT, ERROR, Choice.NONE).shown, coverage(both, LIMIT, ERROR, Choice.NONE).is_kept) == (
        2,
        False,
    )


def test_all_sites_as_one_hold_the_episodes_of_each():
    one = pooled(SITES)
    assert (len(one.calibration), len(one.fresh)) == (80, 80)
    assert sum(t.harmed for t in one.fresh) == 11


def test_made_up_sites_keep_the_promise_and_the_count_of_them_can_fail():
    rng = np.random.default_rng(1)

    def half() -> tuple[Trial, ...]:
        # Scores are uniform and harm has a chance of 0.5 whatever they are, so that it is 0.5 (1 - t) at threshold t.
        return tuple(Trial(float(s), bool(h)) for s, h in zip(rng.random(60), rng.random(60) < 0.5, strict=True))

    kept = {choice: 0 for choice in Choice}
    too_much = {choice: 0 for choice in Choice}
    for _ in range(100):
        sites = [SiteTrials(i, half(), half()) for i in range(24)]
        for choice in Choice:
            found = coverage(sites, LIMIT, 0.05, choice)
            kept[choice] += found.is_kept
            too_much[choice] += sum(0.5 * (1.0 - t) > LIMIT for t in found.thresholds)
    assert kept[Choice.LEARN_THEN_TEST] >= 95
    assert kept[Choice.NONE] == 0
    # Of 2400 sites a chance of 5 % takes 120, and more than 153 once in a thousand times.
    assert too_much[Choice.LEARN_THEN_TEST] <= 153
    assert too_much[Choice.SHARE] > 800


def test_sites_without_fresh_episodes_are_no_evidence():
    for sites in ([], [SiteTrials(1, trials(40), ())]):
        with pytest.raises(ValueError, match="coverage needs sites, each with episodes"):
            coverage(sites, LIMIT, ERROR, Choice.NONE)


def test_episodes_at_sites_in_turn_are_halved_by_site_and_broken_ones_left_out():
    a, b, c, d = (Trial(score, False) for score in (0.1, 0.2, 0.3, 0.4))
    found = in_halves([5, 6], [a, b, c, d, None, b, a, None])
    assert found == [SiteTrials(5, (a, c), (a,)), SiteTrials(6, (b, d), (b,))]


def test_the_table_says_how_each_threshold_was_chosen_and_what_it_broke():
    table = CoverageTable.of({"parallel": {"control": SITES}}, [LIMIT], ERROR)
    lines = str(table).splitlines()
    assert len(lines) == 2 + 2 * len(Choice)
    assert lines[2] == (
        "| parallel | each site | control | 10 points | learn then test | 0.30 (0.00 to 0.60) | 0 of 2 | 1 of 80 | "
        "1 (1.2 %) | 0 of 2 | 0 (1) |"
    )
    assert "| no threshold | 0.00 | 0 of 2 | 11 of 80 | 11 (13.8 %) | 1 of 2 | 1 (1) |" in lines[4]
    # As one: P(Binomial(80, 0.1) <= 4) = 0.088, and four were harmed.
    assert "| parallel | all as one | control | 10 points | learn then test | 0.00 | 0 of 1 | 11 of 80 |" in lines[5]
    played = table.to_dict()["played"]["parallel"]["control"]
    assert played[0]["calibration"][-1] == {"score": 0.8, "harmed": True}
