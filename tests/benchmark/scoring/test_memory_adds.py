"""What the memory itself adds: its arm minus every other on the same scenarios, of hand-made records."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.scoring.arms import act_otherwise, memory_arm, rival_arms
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.comparisons import memory_adds
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.statistics import newcombe_paired_interval
from flow_rag_vla.benchmark.scoring.statistics.verdict import Gain
from flow_rag_vla.benchmark.scoring.summary import Summary

Factory = Callable[..., EpisodeRecord]
Run = Callable[..., Summary]
FAILED = {"outcome": "failure", "failure_type": "drop", "failure_phase": "carry", "failure_pose_bin": "10,0,4"}
N = 40


@pytest.fixture
def run_of(dropped: Factory, e1: Factory, again: Factory) -> Run:
    """``N`` hazards, of which each arm solves its first ``solved``, and ``N`` clean scenarios, all but ``broken``."""

    def make(
        solved: Mapping[str, int], broken: Mapping[str, int], exposures: tuple[str, ...] = ("near", "clean")
    ) -> Summary:
        records = []
        for i in range(N):
            hazard, clean = dropped(f"h{i:02}"), e1(f"c{i:02}", fault="none", fault_class="clean")
            records += [hazard, clean]
            for arm, count in solved.items():
                for exposure in exposures:
                    first, works = (clean, i >= broken.get(arm, 0)) if exposure == "clean" else (hazard, i < count)
                    records.append(again(first, arm, exposure, **({} if works else FAILED)))
        return summarise(RunRecords.of(records), task="t", physics="p", memory_entries={"parallel": 3})

    return make


def test_it_is_paired_with_every_other_arm_by_the_statistics_of_the_reference(run_of: Run):
    solved = {"flow_only": 2, "parallel": 30, "parallel_shuffled": 10, "expert": 40}
    summary = run_of(solved, {"parallel": 4, "parallel_shuffled": 8})
    adds, arm = summary.memory_adds, summary.arms["parallel"]
    assert adds is not None
    assert (adds.arm, set(adds.over)) == ("parallel", {"flow_only", "parallel_shuffled", "expert"})
    near = adds.over["parallel_shuffled"].near
    assert (near.n_pairs, near.gained, near.lost, near.success_diff) == (N, 20, 0, pytest.approx(0.5))
    first = [[i < 30 for i in range(N)], [i < 10 for i in range(N)]]
    assert near.ci95 == pytest.approx(newcombe_paired_interval(*first))
    base, against = adds.over["flow_only"], arm.vs_flow_only
    assert against is not None
    assert (base.near.success_diff, base.near.ci95) == (against.success_diff, against.ci95)
    assert base.harm == arm.harm
    assert arm.payoff is not None
    assert base.net == arm.payoff.curve
    assert {name: over.near_known for name, over in adds.over.items()} == {
        "flow_only": Gain.MORE,
        "parallel_shuffled": Gain.MORE,
        "expert": Gain.LESS,
    }


def test_harm_is_the_other_arms_subtracted_and_net_success_the_mixture(run_of: Run):
    adds = run_of({"parallel": 30, "parallel_ungated": 26, "flow_only": 0}, {"parallel_ungated": 4}).memory_adds
    assert adds is not None
    over = adds.over["parallel_ungated"]
    assert (over.harm.rate, over.harm.n_pairs) == (pytest.approx(-0.1), N)
    assert {point.prevalence: pytest.approx(point.net) for point in over.net} == {
        i / 20: pytest.approx(i / 20 * 0.1 + (1 - i / 20) * 0.1) for i in range(21)
    }
    assert over.ahead == (0.0, 1.0)
    assert over.near_known is Gain.UNKNOWN  # 4 discordant pairs: p is 1/8


def test_a_placebo_that_does_as_well_is_not_told_apart(run_of: Run):
    adds = run_of({"parallel": 20, "random_trigger": 19, "flow_only": 0}, {}).memory_adds
    assert adds is not None
    over = adds.over["random_trigger"]
    assert over.near.ci95 is not None
    assert over.near.ci95[0] < 0.0 < over.near.ci95[1]
    assert (over.near_known, over.surely_ahead) == (Gain.UNKNOWN, None)
    assert over.ahead == (0.0, 1.0)


def test_holm_is_taken_over_the_rivals_and_the_direction_from_it(run_of: Run):
    rivals = ("random_trigger", "parallel_empty", "always_cautious", "parallel_ungated", "sequential")
    others = ("flow_only", "expert", "zero")
    adds = run_of({"parallel": 7, **dict.fromkeys((*rivals, *others), 0)}, {}, ("near", "far", "clean")).memory_adds
    assert adds is not None
    for name, over in adds.over.items():
        far = over.far
        assert far is not None
        assert (over.near.mcnemar_p, far.mcnemar_p) == (pytest.approx(2 / 2**7), pytest.approx(2 / 2**7))
        adjusted = pytest.approx(5 * 2 / 2**7) if name in rivals else None  # 0.078
        assert (over.near.mcnemar_p_holm, far.mcnemar_p_holm) == (adjusted, adjusted)
        known = Gain.UNKNOWN if name in rivals else Gain.MORE
        assert (over.near_known, over.far_known) == (known, known)


def test_who_acts_otherwise_than_the_memorys_arm_is_known():
    assert act_otherwise("parallel") == ("rag_only", "parallel_blend")
    assert act_otherwise("nobody") == ()


def test_new_layouts_are_compared_where_they_were_met(run_of: Run):
    solved = {"parallel": 25, "flow_only": 5}
    without = run_of(solved, {}).memory_adds
    both = run_of(solved, {}, exposures=("near", "far", "clean")).memory_adds
    assert without is not None
    assert (without.over["flow_only"].far, without.over["flow_only"].far_known) == (None, None)
    assert both is not None
    over = both.over["flow_only"]
    assert over.far is not None
    assert (over.far.exposure, over.far.success_diff, over.far_known) == ("far", pytest.approx(0.5), Gain.MORE)
    assert over.near == without.over["flow_only"].near


def test_without_a_true_memory_nothing_is_said_of_it(run_of: Run):
    assert run_of({"flow_only": 3, "parallel_shuffled": 8, "success_memory": 5}, {}).memory_adds is None
    assert memory_adds(RunRecords.of([])) is None


def test_where_nothing_harmless_was_met_the_net_success_is_not_known(run_of: Run):
    adds = run_of({"parallel": 30, "flow_only": 0}, {}, exposures=("near",)).memory_adds
    assert adds is not None
    over = adds.over["flow_only"]
    assert (over.net, over.ahead, over.surely_ahead, over.harm.n_pairs) == ([], None, None, 0)
    assert over.near_known is Gain.MORE


@pytest.mark.parametrize(
    ("ran", "arm"),
    [
        ((), None),
        (("flow_only", "parallel_empty", "expert", "parallel_oracle"), None),
        (("flow_only", "rag_only", "sequential", "parallel", "parallel_ungated"), "parallel"),
        (("flow_only", "parallel_shuffled", "parallel_ungated"), "parallel_ungated"),
    ],
)
def test_the_memory_is_that_of_the_guides_last_arm_or_of_any_that_is_true(ran: tuple[str, ...], arm: str | None):
    assert memory_arm(ran) == arm


def test_rivals_lack_what_the_memory_knows_or_its_rule():
    assert set(rival_arms()) == {
        "always_cautious",
        "parallel_shuffled",
        "parallel_wrong_type",
        "parallel_ungated",
        "random_trigger",
        "parallel_empty",
        "success_memory",
        "nominal_expert",
    }
