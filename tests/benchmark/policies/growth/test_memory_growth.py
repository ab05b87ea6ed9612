"""Runs of several sizes beside one another: their own numbers, and changes in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.policies.growth.memory_growth import MemoryGrowth, Quantity, memory_growth
from flow_rag_vla.benchmark.policies.growth.sized_runs import read_sized_runs
from flow_rag_vla.benchmark.scoring.statistics.prevalence import Estimate
from flow_rag_vla.benchmark.scoring.statistics.trend import Trend

Writer = Callable[..., Path]

SMALL = {
    "near": (70, 100), "clean": (50, 50), "control": (40, 40), "gain": (0.5, 0.4, 0.6), "harm": (0.0, -0.03, 0.03),
    "repeated": (0.1, 0.05, 0.2), "cases": {0: 60, 1: 75},
}  # fmt: skip
LARGE = {
    "near": (200, 400), "clean": (190, 200), "control": (150, 160), "gain": (0.3, 0.26, 0.33),
    "harm": (0.1, 0.07, 0.14), "repeated": (0.3, 0.26, 0.34), "cases": {0: 180, 1: 220},
}  # fmt: skip
BASE = {"near": (20, 100), "clean": (50, 50), "control": (40, 40), "repeated": (0.8, 0.7, 0.9)}
LARGE_BASE = {"near": (80, 400), "clean": (198, 200), "control": (160, 160), "repeated": (0.8, 0.76, 0.84)}


def grown(*folders: Path) -> MemoryGrowth:
    return memory_growth(read_sized_runs(folders))


def test_each_size_shows_the_numbers_of_its_own_run(write_run: Writer):
    # The larger run is named first: order does not count.
    growth = grown(write_run(2048, LARGE, LARGE_BASE), write_run(512, SMALL, BASE))
    assert (growth.scenarios, growth.arm, list(growth.arms)) == ([512, 2048], "parallel", ["flow_only", "parallel"])
    small, large = growth.arms["parallel"]
    assert (small.near.k, small.near.n, small.cases_asked, small.cases_after) == (70, 100, 60, 75)
    assert large.gain == Estimate(0.3, (0.26, 0.33))
    assert large.harm == Estimate(0.1, (0.07, 0.14))
    assert large.harm_pairs == 360
    assert large.repeated == Estimate(0.3, (0.26, 0.34))
    assert large.clean_difference == pytest.approx(190 / 200 - 198 / 200)
    reference = growth.arms["flow_only"][0]
    assert (reference.gain, reference.harm, reference.cases_asked, reference.clean_difference) == (None,) * 4


def test_changes_are_a_line_through_all_sizes_and_called_what_their_intervals_say(write_run: Writer):
    between = SMALL | {"gain": (0.4, 0.3, 0.5)}
    growth = grown(*(write_run(n, arm, BASE) for n, arm in ((512, SMALL), (1024, between), (2048, LARGE))))
    gain = growth.changes["parallel"][Quantity.GAIN]
    assert (gain.smallest, gain.largest, gain.trend) == (512, 2048, Trend.FALLS)
    assert gain.difference.value == pytest.approx(0.3 - 0.5)
    assert gain.difference.ci95 == pytest.approx((-0.2 - math.hypot(0.04, 0.1), -0.2 + math.hypot(0.03, 0.1)))
    # 100, 100 and 400 pairs at 9, 10 and 11: the mean is 10.5.
    factors = [100 * -1.5 / 350, 100 * -0.5 / 350, 400 * 0.5 / 350]
    assert gain.per_doubling.value == pytest.approx(sum(f * v for f, v in zip(factors, (0.5, 0.4, 0.3), strict=True)))
    harm = growth.changes["parallel"][Quantity.HARM]
    assert (harm.difference.value, harm.trend) == (pytest.approx(0.1), Trend.RISES)
    assert growth.changes["parallel"][Quantity.NEAR].difference.value == pytest.approx(0.5 - 0.7)
    assert growth.changes["parallel"][Quantity.REPEATED].trend is Trend.RISES
    assert list(growth.changes) == ["parallel"]


def test_a_run_without_near_counts_for_harm_alone(write_run: Writer):
    without = {key: LARGE[key] for key in ("clean", "control", "harm", "cases")}
    growth = grown(
        write_run(512, SMALL, BASE),
        write_run(1024, SMALL, BASE),
        write_run(2048, without, {"clean": (198, 200)}, settings={"exposures": "clean,control"}),
    )
    last = growth.arms["parallel"][-1]
    assert (last.near.rate, last.gain, last.repeated) == (None, None, None)
    changes = growth.changes["parallel"]
    assert {q: changes[q].largest for q in Quantity} == {"near": 1024, "gain": 1024, "repeated": 1024, "harm": 2048}
    assert changes[Quantity.GAIN].trend is Trend.UNKNOWN  # 0 [-0.14, 0.14]


def test_what_was_measured_at_one_size_alone_has_no_change(write_run: Writer):
    without = {key: SMALL[key] for key in ("clean", "control", "harm")} | {"cases": {0: 1}}
    growth = grown(write_run(512, SMALL, BASE), write_run(1024, without, {"clean": (50, 50)}))
    assert list(growth.changes["parallel"]) == [Quantity.HARM]


def test_where_everything_is_zero_intervals_keep_their_width(write_run: Writer):
    zero = {
        "near": (0, 100), "clean": (0, 50), "gain": (0.0, -0.03, 0.03), "harm": (0.0, -0.02, 0.02),
        "repeated": (0.0, 0.0, 0.04), "cases": {0: 0, 1: 0},
    }  # fmt: skip
    base = {"near": (0, 100), "clean": (0, 50)}
    growth = grown(write_run(512, zero, base), write_run(1024, zero, base))
    changes = growth.changes["parallel"]
    assert changes[Quantity.HARM].difference.ci95 == pytest.approx((-math.hypot(0.02, 0.02), math.hypot(0.02, 0.02)))
    assert changes[Quantity.GAIN].trend is Trend.LEVEL
    assert changes[Quantity.NEAR].difference.ci95[0] < 0.0 < changes[Quantity.NEAR].difference.ci95[1]
    assert growth.arms["parallel"][0].clean_difference == 0.0


def test_harm_is_level_by_what_the_runs_allow_and_gain_by_the_verdicts_margin(write_run: Writer):
    alike = SMALL | {"gain": (0.5, 0.48, 0.52), "harm": (0.0, -0.02, 0.02)}

    def changes(max_harm: float) -> MemoryGrowth:
        return grown(*(write_run(n, alike, BASE, max_harm=max_harm) for n in (512, 1024)))

    # Both differences are 0 with ends at 0.02 * sqrt(2), which is 0.0283.
    for allowed, known in ((0.05, Trend.LEVEL), (0.03, Trend.LEVEL), (0.02, Trend.UNKNOWN)):
        growth = changes(allowed)
        gain, harm = (growth.changes["parallel"][quantity] for quantity in (Quantity.GAIN, Quantity.HARM))
        assert (growth.max_harm, harm.margin, harm.trend) == (allowed, allowed, known)
        assert (gain.margin, gain.trend) == (0.05, Trend.LEVEL)


def test_the_last_round_asks_what_the_round_before_left(write_run: Writer):
    rounds = SMALL | {"rounds": 3, "cases": {0: 60, 1: 70, 2: 80, 3: 85}}
    growth = grown(write_run(512, rounds, BASE), write_run(1024, rounds, BASE))
    assert (growth.arms["parallel"][0].cases_asked, growth.arms["parallel"][0].cases_after) == (80, 85)


def test_every_arm_with_a_memory_is_followed_and_no_other(write_run: Writer):
    others = {"sequential": SMALL, "always_cautious": {key: SMALL[key] for key in ("near", "gain", "harm")}}
    growth = grown(*(write_run(n, SMALL, BASE, arms=others) for n in (512, 1024)))
    assert list(growth.arms) == ["flow_only", "parallel", "sequential"]
    assert list(growth.changes) == ["parallel", "sequential"]


def test_runs_without_a_memory_are_refused(write_run: Writer):
    blank = {"clean": (50, 50)}
    with pytest.raises(UsageError, match=r"^no arm of these runs has a memory, got flow_only, parallel$"):
        grown(write_run(512, blank, blank), write_run(1024, blank, blank))
