"""The verdict says no more than the pairs allow, however few or many, alike or not, they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.statistics.verdict import (
    DEFINITIONS,
    RULE,
    Answer,
    Gain,
    Harmfulness,
    Limit,
    gain_known,
    harm_known,
    judge,
    limit_known,
)

Factory = Callable[..., EpisodeRecord]
README = Path(__file__).parents[3] / "benchmark" / "README.md"


def run_of(
    dropped: Factory,
    e1: Factory,
    again: Factory,
    n: int,
    ours: float,
    theirs: float,
    harm: float,
    max_harm: float = 0.02,
):
    """``n`` NEAR and ``n`` CLEAN pairs: of the first, the shares ``ours`` and ``theirs`` succeed; ``harm`` breaks."""
    failed = {"outcome": "failure", "failure_type": "drop", "failure_phase": "carry", "failure_pose_bin": "10,0,4"}
    records = []
    for i in range(n):
        hazard, clean = dropped(f"h{i:04}"), e1(f"c{i:04}", fault="none", fault_class="clean")
        records += [hazard, clean]
        for arm, share, broken in (("parallel", ours, harm), ("flow_only", theirs, 0.0)):
            records.append(again(hazard, arm, **({} if i < share * n else failed)))
            records.append(again(clean, arm, "clean", **(failed if i < broken * n else {})))
    return summarise(RunRecords.of(records), task="t", physics="p", memory_entries={"parallel": 3}, max_harm=max_harm)


@pytest.mark.parametrize(
    ("n", "ours", "theirs", "harm", "answer"),
    [
        (0, 0.0, 0.0, 0.0, "undetermined"),
        # all zero: nobody ever succeeds
        (10, 0.0, 0.0, 0.0, "undetermined"),
        (100, 0.0, 0.0, 0.0, "no_difference"),
        (1000, 0.0, 0.0, 0.0, "no_difference"),
        # all one: everybody always succeeds
        (10, 1.0, 1.0, 0.0, "undetermined"),
        (100, 1.0, 1.0, 0.0, "no_difference"),
        (1000, 1.0, 1.0, 0.0, "no_difference"),
        # everything gained, nothing broken
        (10, 1.0, 0.0, 0.0, "undetermined"),
        (100, 1.0, 0.0, 0.0, "helps"),
        (1000, 1.0, 0.0, 0.0, "helps"),
        # everything gained, some or all broken
        (10, 1.0, 0.0, 0.1, "undetermined"),
        (10, 1.0, 0.0, 0.4, "undetermined"),
        (20, 1.0, 0.0, 0.25, "undetermined"),
        (10, 1.0, 0.0, 1.0, "helps_but_harms"),
        (100, 1.0, 0.0, 0.04, "undetermined"),
        (100, 1.0, 0.0, 0.1, "helps_but_harms"),
        (1000, 1.0, 0.0, 0.005, "helps"),
        (1000, 1.0, 0.0, 0.02, "helps_but_harms"),
        # nothing gained, some or all broken
        (10, 0.5, 0.5, 1.0, "harms"),
        (100, 0.5, 0.5, 0.1, "harms"),
        (1000, 0.5, 0.5, 0.02, "harms"),
        (1000, 0.0, 0.0, 1.0, "harms"),
        # success lost
        (10, 0.0, 1.0, 0.0, "harms"),
        (100, 0.5, 0.6, 0.0, "harms"),
        (1000, 0.0, 1.0, 0.0, "harms"),
        # some gained
        (10, 0.4, 0.1, 0.0, "undetermined"),
        (100, 0.4, 0.1, 0.0, "helps"),
        (100, 0.53, 0.5, 0.0, "undetermined"),
        (1000, 0.51, 0.5, 0.0, "helps"),
    ],
)
def test_runs_of_any_size_get_the_right_verdict(
    dropped: Factory, e1: Factory, again: Factory, n: int, ours: float, theirs: float, harm: float, answer: str
):
    summary = run_of(dropped, e1, again, n, ours, theirs, harm)
    assert summary.verdict.answer == answer
    assert summary.verdict.limit is not Limit.EXCEEDED or summary.verdict.harm is Harmfulness.SHOWN
    for arm in summary.arms.values():
        intervals = [arm.harm.ci95, *(c.ci95 for c in (arm.vs_flow_only,) if c is not None)]
        intervals += [arm.vs_flow_only.rfr_reduction_ci95] if arm.vs_flow_only else []
        intervals += [point.ci95 for point in arm.payoff.curve] if arm.payoff else []
        assert all(low < high for low, high in filter(None, intervals))


def test_ten_harmed_or_unharmed_pairs_do_not_make_a_memory_helpful():
    assert gain_known((0.2, 0.6), 0.001) is Gain.MORE
    assert harm_known((-0.189, 0.404), 1.0) is Harmfulness.UNKNOWN
    assert judge(Gain.MORE, Harmfulness.UNKNOWN) is Answer.UNDETERMINED


def test_an_interval_of_21_points_either_way_is_undetermined():
    assert gain_known((-0.21, 0.21), 1.0) is Gain.UNKNOWN
    assert judge(Gain.UNKNOWN, Harmfulness.BOUNDED) is Answer.UNDETERMINED


@pytest.mark.parametrize(
    ("ci95", "p", "gain"),
    [
        (None, None, Gain.UNKNOWN),
        ((0.01, 0.3), 0.06, Gain.UNKNOWN),
        ((0.01, 0.3), 0.04, Gain.MORE),
        ((-0.3, -0.01), 0.04, Gain.LESS),
        ((-0.05, 0.05), 1.0, Gain.NONE),
        ((-0.051, 0.05), 1.0, Gain.UNKNOWN),
        ((0.001, 0.02), 0.01, Gain.MORE),
    ],
)
def test_a_gain_is_shown_by_interval_and_test_together(ci95, p, gain: Gain):
    assert gain_known(ci95, p) is gain


@pytest.mark.parametrize(
    ("ci95", "p", "harm"),
    [
        (None, None, Harmfulness.UNKNOWN),
        ((0.01, 0.03), 0.01, Harmfulness.SHOWN),
        ((0.01, 0.3), 0.2, Harmfulness.UNKNOWN),
        ((-0.2, 0.05), 1.0, Harmfulness.BOUNDED),
        ((-0.2, 0.0501), 1.0, Harmfulness.UNKNOWN),
    ],
)
def test_harm_is_shown_bounded_or_unknown(ci95, p, harm: Harmfulness):
    assert harm_known(ci95, p) is harm


@pytest.mark.parametrize(
    ("ci95", "p", "max_harm", "limit"),
    [
        (None, None, 0.02, Limit.UNKNOWN),
        ((-0.024, 0.024), 1.0, 0.02, Limit.UNKNOWN),
        ((-0.024, 0.024), 1.0, 0.024, Limit.KEPT),
        ((0.01, 0.02), 0.01, 0.02, Limit.KEPT),
        ((0.02, 0.06), 0.01, 0.02, Limit.UNKNOWN),
        ((0.021, 0.06), 0.01, 0.02, Limit.EXCEEDED),
        ((0.021, 0.06), 0.06, 0.02, Limit.UNKNOWN),
    ],
)
def test_harm_is_held_against_what_the_user_allows(ci95, p: float | None, max_harm: float, limit: Limit):
    assert limit_known(ci95, p, max_harm) is limit


def test_how_much_harm_is_allowed_changes_what_is_said_of_it_and_no_verdict(
    dropped: Factory, e1: Factory, again: Factory
):
    # none of 100 pairs is broken: Wilson's upper end is z^2 / (n + z^2), 3.7 points
    for allowed, limit in ((0.001, Limit.UNKNOWN), (0.02, Limit.UNKNOWN), (0.037, Limit.KEPT), (0.2, Limit.KEPT)):
        verdict = run_of(dropped, e1, again, 100, 1.0, 0.0, 0.0, allowed).verdict
        assert (verdict.answer, verdict.max_harm, verdict.limit) == (Answer.HELPS, allowed, limit)
    assert summarise(RunRecords.of([]), task="t", physics="p").verdict.max_harm == 0.02
    assert run_of(dropped, e1, again, 100, 1.0, 0.0, 0.5).verdict.limit is Limit.EXCEEDED


def test_every_verdict_has_one_definition_which_the_documentation_repeats():
    assert set(DEFINITIONS) == set(Answer)
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert RULE in text
    for answer, definition in DEFINITIONS.items():
        assert f"**{answer.replace('_', ' ')}**: {definition}" in text


def test_every_pair_of_findings_has_the_verdict_of_its_definition():
    answers = {(gain, harm): judge(gain, harm) for gain in Gain for harm in Harmfulness}
    for (gain, harm), answer in answers.items():
        assert (answer is Answer.HELPS) == ((gain, harm) == (Gain.MORE, Harmfulness.BOUNDED))
        assert (answer is Answer.HELPS_BUT_HARMS) == ((gain, harm) == (Gain.MORE, Harmfulness.SHOWN))
        assert (answer is Answer.NO_DIFFERENCE) == ((gain, harm) == (Gain.NONE, Harmfulness.BOUNDED))
        loses = gain is Gain.LESS or (harm is Harmfulness.SHOWN and gain is not Gain.MORE)
        assert (answer is Answer.HARMS) == loses


def test_a_memory_that_was_never_heard_is_counted_over_all_rounds(dropped: Factory, again: Factory):
    first = [dropped(f"s{i}") for i in range(3)]
    silent = [again(r, "parallel", round=n, attempt=n) for r in first for n in (1, 2)]
    reference = [again(r, "flow_only", round=n, attempt=n) for r in first for n in (1, 2)]

    def retrieved(records: list[EpisodeRecord]):
        return summarise(
            RunRecords.of([*first, *records, *reference]), task="t", physics="p", memory_entries={"parallel": 3}
        )

    whole = retrieved(silent).arms["parallel"].retrieved
    assert whole is not None
    assert (whole.k, whole.n) == (0, 6)
    early = dataclasses.replace(silent[0], retrievals=2)
    heard = retrieved([early, *silent[1:]]).arms["parallel"].retrieved
    assert heard is not None
    assert heard.k == 1
    assert retrieved(silent).arms["flow_only"].retrieved is None
