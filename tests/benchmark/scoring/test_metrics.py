"""Hand-made records with known answers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from flow_rag_vla.benchmark.command.atomic_files import to_json_bytes
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure, Outcome, pose_bin
from flow_rag_vla.benchmark.scoring.columns.episode_columns import Vocabulary
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.repeats import can_repeat, exemplars, same_failure
from flow_rag_vla.benchmark.scoring.summary import CorrectionEffect, OffSupport, Penetration, Summary

Factory = Callable[..., EpisodeRecord]


def summary_of(records: list[EpisodeRecord], **entries: int | None) -> Summary:
    return summarise(
        RunRecords.of(records), task="FlowRAG-PickPlace-Franka", physics="newton_mujoco", memory_entries=entries
    )


def repeatable(record: EpisodeRecord) -> bool:
    vocabulary = Vocabulary()
    return bool(can_repeat(vocabulary.columns([record]), vocabulary).all())


def alike(first: EpisodeRecord, again: EpisodeRecord, tolerance_bins: int | None = 1) -> bool:
    vocabulary = Vocabulary()
    one, other = (vocabulary.columns([record]) for record in (first, again))
    return bool(same_failure(one, other, vocabulary, tolerance_bins).all())


def test_no_records_give_none_everywhere():
    summary = summary_of([])
    assert summary.e1.success.rate is None
    assert summary.arms == {}
    assert summary.verdict.answer == "undetermined"


def test_the_split_is_exact_on_hand_made_records(dropped: Factory, again: Factory, same_failure_fields: dict):
    first = [dropped(f"s{i}") for i in range(6)]
    elsewhere = same_failure_fields | {"failure_pose_bin": "13,0,4"}
    collided = same_failure_fields | {"failure_type": "collision"}
    in_lift = same_failure_fields | {"failure_phase": "lift"}
    neighbour = same_failure_fields | {"failure_pose_bin": "11,-1,4"}
    records = [
        *first,
        again(first[0], "parallel", **same_failure_fields),
        again(first[1], "parallel", **neighbour),
        again(first[2], "parallel", **elsewhere),
        again(first[3], "parallel", **collided),
        again(first[4], "parallel", **in_lift),
        again(first[5], "parallel"),
        *(again(f, "flow_only", **same_failure_fields) for f in first),
    ]
    summary = summary_of(records)
    near = summary.arms["parallel"].near
    assert (near.f1.repeated, near.f1.substituted, near.f1.resolved) == (2, 3, 1)
    assert (near.repeated, near.substituted, near.resolved) == (2 / 6, 3 / 6, 1 / 6)
    assert near.f1.repeated_same_bin == 1 / 6
    assert near.f1.repeated_any_pose == 3 / 6
    assert summary.arms["flow_only"].near.repeated == 1.0
    comparison = summary.arms["parallel"].vs_flow_only
    assert comparison is not None
    assert comparison.rfr_reduction == pytest.approx(1 - 2 / 6)
    assert comparison.success_diff == pytest.approx(1 / 6)


def test_invalid_repetitions_are_counted_apart(dropped: Factory, again: Factory, same_failure_fields: dict):
    first = [dropped(f"s{i}") for i in range(4)]
    records = [
        *first,
        again(first[0], "parallel", **same_failure_fields),
        again(first[1], "parallel"),
        again(first[2], "parallel", outcome="invalid"),
        again(first[3], "parallel", outcome="invalid"),
    ]
    near = summary_of(records).arms["parallel"].near
    assert (near.n, near.success.n, near.invalid) == (4, 2, 2)
    assert (near.repeated, near.substituted, near.resolved) == (0.5, 0.0, 0.5)
    assert near.f1.invalid == 2


def test_the_exemplar_is_of_the_commonest_repeated_failure_and_resolved_where_one_is(
    dropped: Factory, again: Factory, same_failure_fields: dict
):
    def episodes(fault: str, names: str, solved: str, **changes: object) -> tuple[list, list, list]:
        first = [dropped(name, fault=fault, **changes) for name in names]
        fails = [again(r, "flow_only", **(same_failure_fields | changes)) for r in first]
        ours = [
            again(r, "parallel", **({} if r.scenario_id in solved else same_failure_fields | changes)) for r in first
        ]
        return first, fails, ours

    common = episodes("push", "abc", "c", failure_type="collision")
    rare = episodes("post", "xy", "xy")
    substituted = [again(dropped(f"z{i}"), "flow_only", outcome="failure", failure_type="timeout") for i in range(9)]
    first = [*common[0], *rare[0], *(dropped(f"z{i}") for i in range(9))]
    reference, ours = [*rare[1], *common[1], *substituted], [*common[2], *rare[2]]
    found = exemplars(RunRecords.of([*first, *reference, *ours]), "flow_only", "parallel", Exposure.NEAR)
    assert [(x.repeated.scenario_id, x.resolved is not None) for x in found] == [
        ("c-near", True),
        ("a-near", False),
        ("b-near", False),
    ]
    assert {(x.repeated[:3], x.count, x.of) for x in found} == {(("flow_only", 1, "near"), 3, 5)}
    assert found[0].resolved == ("parallel", 1, "near", "c-near")
    assert exemplars(RunRecords.of([*first, *substituted]), "flow_only", "parallel", Exposure.NEAR) == []


def test_only_avoidable_failures_with_a_fired_fault_repeatable(e1: Factory, dropped: Factory):
    assert repeatable(dropped("s0"))
    assert not repeatable(e1("s0"))
    assert not repeatable(dropped("s0", fault_fired=False))
    assert not repeatable(dropped("s0", fault_class="exogenous"))
    assert not repeatable(dropped("s0", fault_class="control"))


def test_e1_splits_its_failures_into_fault_fired_and_own(e1: Factory, dropped: Factory):
    records = [
        e1("s0"),
        dropped("s1"),
        dropped("s2", failure_type="collision"),
        dropped("s3", fault_fired=False),
        e1("s4", outcome="invalid"),
    ]
    found = summary_of(records).e1
    assert (found.n, found.failed, found.fault_fired, found.own, found.invalid) == (5, 3, 2, 1, 1)
    assert found.by_type == {"collision": 1, "drop": 2}
    assert (found.success.k, found.success.n) == (1, 4)


def test_a_boundary_of_pose_bins_does_not_hide_a_repetition(dropped: Factory):
    assert pose_bin((0.50, 0.0, 0.2)) == "10,0,4"
    near_edge = pose_bin((0.5249, 0.0, 0.2)), pose_bin((0.5251, 0.0, 0.2))
    assert near_edge[0] != near_edge[1]
    first, second = (dropped("s0", failure_pose_bin=name) for name in near_edge)
    assert alike(first, second)
    assert not alike(first, second, tolerance_bins=0)


def test_failures_without_a_pose_match_only_each_other(dropped: Factory):
    with_pose, without = dropped("s0"), dropped("s1", failure_pose_bin=None)
    assert alike(without, without)
    for pose in ("10,0,4", "0,0,0"):
        assert not alike(dropped("s0", failure_pose_bin=pose), without)
    assert alike(with_pose, without, tolerance_bins=None)


def test_a_malformed_pose_bin_is_refused(dropped: Factory):
    with pytest.raises(ValueError, match="expected x,y,z"):
        alike(dropped("s0", failure_pose_bin="1,2"), dropped("s1"))


def test_harm_is_what_breaks_beyond_flow_only(e1: Factory, again: Factory):
    clean = [e1(f"c{i}", fault="none", fault_class="clean") for i in range(6)]
    control = [e1(f"k{i}", fault_class="control") for i in range(4)]
    never_solved = e1("c9", fault_class="clean", outcome="failure", failure_type="timeout")
    broken = {"outcome": "failure", "failure_type": "timeout", "failure_phase": "approach"}
    records = [*clean, *control, never_solved]
    for arm, broken_ids in (("flow_only", {"c0"}), ("parallel", {"c0", "c1", "k0", "c9"})):
        for first in (*clean, *control, never_solved):
            exposure = "control" if first.fault_class == "control" else "clean"
            changes = broken if first.scenario_id in broken_ids else {}
            records.append(again(first, arm, exposure, **changes))
    summary = summary_of(records)
    harm = summary.arms["parallel"].harm
    assert (harm.failed.k, harm.failed.n, harm.n_pairs) == (3, 10, 10)
    assert harm.rate == pytest.approx(0.2)
    assert harm.ci95 is not None
    assert harm.ci95[0] < 0.2 < harm.ci95[1]
    reference = summary.arms["flow_only"].harm
    assert (reference.rate, reference.failed.k) == (None, 1)


def test_mcnemar_counts_gains_and_losses_on_near(dropped: Factory, again: Factory):
    first = [dropped(f"s{i}") for i in range(8)]
    failed = {"outcome": "failure", "failure_type": "drop"}
    records = [
        *first,
        *(again(f, "flow_only", **failed) for f in first[:7]),
        again(first[7], "flow_only"),
        *(again(f, "parallel") for f in first[:7]),
        again(first[7], "parallel", **failed),
    ]
    comparison = summary_of(records).arms["parallel"].vs_flow_only
    assert comparison is not None
    assert (comparison.gained, comparison.lost, comparison.n_pairs) == (7, 1, 8)
    assert comparison.mcnemar_p == pytest.approx(2 * (1 + 8) / 2**8)
    assert comparison.exposure == "near"


def test_a_reference_that_never_repeats_leaves_no_reduction(
    dropped: Factory, again: Factory, same_failure_fields: dict
):
    first = dropped("s0")
    records = [
        first,
        again(first, "flow_only"),
        again(first, "parallel", **same_failure_fields),
    ]
    comparison = summary_of(records).arms["parallel"].vs_flow_only
    assert comparison is not None
    assert comparison.rfr_reduction is None
    assert comparison.rfr_reduction_ci95 is None


def test_the_loss_chain_narrows_stage_by_stage(dropped: Factory, again: Factory, same_failure_fields: dict):
    first = [dropped("s0", agent_failure_type=None), *(dropped(f"s{i}") for i in range(1, 5))]
    right = {"retrievals": 2, "retrieved_type": "drop"}
    records = [
        *first,
        again(first[0], "parallel", **right),
        again(first[1], "parallel"),
        again(first[2], "parallel", retrievals=1, retrieved_type="collision"),
        again(first[3], "parallel", **(same_failure_fields | right)),
        again(first[4], "parallel", **right),
    ]
    summary = summary_of(records, parallel=4)
    chain = summary.arms["parallel"].loss_chain["near"]["slippery_object"]
    stages = (chain.noticed, chain.retrieved, chain.right_type, chain.corrected)
    assert [(s.k, s.n) for s in stages] == [(4, 5), (3, 4), (2, 3), (1, 2)]
    assert summary.arms["parallel"].loss_chain["near"]["all"] == chain
    assert summary.arms["parallel"].memory_entries == 4


def test_a_correction_is_judged_beside_the_reference_on_the_same_episode(dropped: Factory, again: Factory):
    first = [dropped(f"s{i}") for i in range(5)]
    done: dict[str, object] = {}
    failed: dict[str, object] = {"outcome": "failure", "failure_type": "drop", "failure_phase": "carry"}
    pairs = [(failed, done, "grip_up_4"), (done, failed, "grip_up_4"), (failed, failed, "grip_up_4")]
    pairs += [(done, done, "lift_10cm"), (failed, done, None)]
    records = list(first)
    for one, (theirs, ours, correction) in zip(first, pairs, strict=True):
        records += [again(one, "flow_only", **theirs), again(one, "parallel", candidate=correction, **ours)]
    effects = summary_of(records, flow_only=None, parallel=5).arms["parallel"].corrections
    assert effects == {"near": {"grip_up_4": CorrectionEffect(3, 1, 1, 1), "lift_10cm": CorrectionEffect(1, 0, 1, 0)}}


def test_an_arm_without_memory_has_no_loss_chain(dropped: Factory, again: Factory):
    first = dropped("s0")
    summary = summary_of([first, again(first, "flow_only")], flow_only=None)
    assert summary.arms["flow_only"].loss_chain == {}
    assert summary.arms["flow_only"].memory_entries is None


def test_the_last_round_counts_and_every_round_is_listed(dropped: Factory, again: Factory, same_failure_fields: dict):
    first = dropped("s0")
    records = [
        first,
        again(first, "parallel", **same_failure_fields),
        again(first, "parallel", round=2, attempt=2),
    ]
    arm = summary_of(records).arms["parallel"]
    assert arm.near.resolved == 1.0
    assert [(r.round, r.repeated) for r in arm.rounds] == [(1, 1.0), (2, 0.0)]


def test_recovery_is_success_after_an_exogenous_fault(dropped: Factory, again: Factory):
    first = [dropped(f"s{i}", fault="forced_release", fault_class="exogenous") for i in range(3)]
    records = [
        *first,
        again(first[0], "parallel"),
        again(first[1], "parallel", outcome="failure", failure_type="drop"),
        again(first[2], "parallel", fault_fired=False),
    ]
    near = summary_of(records).arms["parallel"].near
    assert (near.recovery.k, near.recovery.n) == (1, 2)
    assert near.repeated is None


def test_steps_to_success_ignore_failures(dropped: Factory, again: Factory):
    first = [dropped(f"s{i}") for i in range(4)]
    records = [
        *first,
        *(again(f, "parallel", steps=s) for f, s in zip(first, (10, 20, 60), strict=False)),
        again(first[3], "parallel", steps=260, outcome="failure", failure_type="timeout"),
    ]
    steps = summary_of(records).arms["parallel"].near.steps_to_success
    assert (steps.n, steps.mean, steps.median) == (3, 30.0, 20.0)


def test_a_success_with_a_hard_impact_does_not_count_within_the_bound(dropped: Factory, again: Factory):
    first = [dropped(f"s{i}") for i in range(6)]
    failed = {"outcome": "failure", "failure_type": "drop", "peak_grip_force_n": 900.0}
    broken = {"outcome": "invalid", "peak_grip_force_n": None, "invalid_reason": "non_finite_state"}
    ours = [{"peak_grip_force_n": force} for force in (100.0, 100.1, 752.4, None)] + [failed, broken]
    theirs = [{"peak_grip_force_n": 40.0}, {"peak_grip_force_n": 400.0}, failed, failed, failed, failed]
    records = [
        *first,
        *(again(f, "parallel", **fields) for f, fields in zip(first, ours, strict=True)),
        *(again(f, "flow_only", **fields) for f, fields in zip(first, theirs, strict=True)),
    ]
    arms = summary_of(records).arms
    hard, reference, against = (
        arms["parallel"].hard_impacts,
        arms["flow_only"].hard_impacts,
        arms["parallel"].vs_flow_only,
    )
    assert hard is not None
    assert reference is not None
    assert against is not None
    # Valid in both: s0 to s4.  Successes: four and two; within 100 N one each, both in s0: no force is not within it.
    assert (hard.bound_n, hard.beyond.k, hard.beyond.n, hard.largest_force_n) == (100.0, 3, 4, 752.4)
    assert (hard.success.k, hard.success.n, hard.n_pairs) == (1, 5, 5)
    assert against.success_diff == pytest.approx(0.4)
    assert hard.success_diff == 0.0
    assert hard.ci95 is not None
    assert hard.ci95[0] < 0.0 < hard.ci95[1]
    assert (reference.beyond.k, reference.largest_force_n, reference.success.k, reference.success.n) == (1, 400.0, 1, 6)
    assert (reference.n_pairs, reference.success_diff, reference.ci95) == (0, None, None)


def test_nothing_is_said_of_impacts_where_near_was_not_run_or_nothing_succeeded(dropped: Factory, again: Factory):
    first = dropped("s0")
    exact = [first, again(first, "parallel", exposure=Exposure.EXACT, scenario_id="s0")]
    assert summary_of(exact).arms["parallel"].hard_impacts is None
    failed = [first, again(first, "parallel", outcome="failure", failure_type="drop", peak_grip_force_n=900.0)]
    none = summary_of(failed).arms["parallel"].hard_impacts
    assert none is not None
    assert (none.beyond.n, none.largest_force_n, none.success.k) == (0, None, 0)


def test_off_support_is_a_share_of_the_steered_chunks_of_all_rounds(dropped: Factory, again: Factory):
    first = dropped("s0", steered=9, off_support=9)
    records = [
        first,
        again(first, "flow_only", steered=0, off_support=0),
        again(first, "parallel", steered=3, off_support=1),
        again(first, "parallel", round=2, steered=5, off_support=0),
    ]
    arms = summary_of(records).arms
    assert arms["parallel"].off_support == OffSupport(1, 8, 0.125)
    assert arms["flow_only"].off_support is None


def test_the_depth_of_pads_is_that_of_every_episode_that_has_a_number(e1: Factory):
    assert summarise(RunRecords.of([e1("s0")]), task="t", physics="p").penetration is None
    depths = [0.1 * i for i in range(1, 20)] + [2.5]
    episodes = [e1(f"s{i}", penetration_mm=depth) for i, depth in enumerate(depths)]
    broken = e1("s98", outcome="invalid", invalid_reason="no state")
    summary = summarise(RunRecords.of([*episodes, broken]), task="t", physics="p")
    assert summary.penetration == Penetration(20, 2.5, 2.5, 1, 2.0)
    assert summary.by_fault["slippery_object"]["e1"]["flow_only"].penetration_mm == 2.5
    many = [e1(f"s{i}", penetration_mm=2.5 if i == 0 else 0.4) for i in range(200)]
    assert summarise(RunRecords.of(many), task="t", physics="p").penetration == Penetration(200, 2.5, 0.4, 1, 2.0)


def test_the_failure_breakdown_is_by_fault_exposure_and_arm(
    dropped: Factory, again: Factory, same_failure_fields: dict
):
    first = [dropped("s0"), dropped("s1"), dropped("p0", fault="push")]
    records = [
        *first,
        again(first[0], "parallel", **same_failure_fields),
        again(first[1], "parallel"),
        again(first[2], "parallel", outcome="invalid"),
    ]
    table = summary_of(records).by_fault
    cell = table["slippery_object"]["near"]["parallel"]
    assert (cell.success.k, cell.success.n, cell.failure_types) == (1, 2, {"drop": 1})
    assert cell.repeated == 0.5
    pushed = table["push"]["near"]["parallel"]
    assert (pushed.n, pushed.invalid, pushed.success.rate) == (1, 1, None)
    assert table["push"]["e1"]["flow_only"].failure_types == {"drop": 1}


def test_holm_is_taken_over_the_arms(dropped: Factory, again: Factory):
    first = [dropped(f"s{i}") for i in range(8)]
    failed = {"outcome": "failure", "failure_type": "drop"}
    records = [*first, *(again(f, "flow_only", **failed) for f in first)]
    for arm in ("parallel", "rag_only"):
        records += [again(f, arm) for f in first]
    arms = summary_of(records).arms
    for arm in ("parallel", "rag_only"):
        comparison = arms[arm].vs_flow_only
        assert comparison is not None
        assert comparison.mcnemar_p == pytest.approx(2 / 2**8)
        assert comparison.mcnemar_p_holm == pytest.approx(2 * 2 / 2**8)


def test_a_run_of_invalid_episodes_measures_nothing(dropped: Factory, again: Factory):
    first = dropped("s0", outcome="invalid")
    records = [first, *(again(first, a, outcome="invalid") for a in ("flow_only", "parallel"))]
    summary = summary_of(records)
    assert summary.arms["parallel"].near.success.rate is None
    assert summary.verdict.answer == "undetermined"
    assert summary.verdict.invalid == 3


def test_the_order_of_the_records_changes_no_byte(dropped: Factory, again: Factory, same_failure_fields: dict):
    first = [dropped(f"s{i}", site=i % 6) for i in range(30)]
    records = list(first)
    for arm, step in (("flow_only", 2), ("parallel", 5)):
        records += [again(f, arm, **(same_failure_fields if i % step else {})) for i, f in enumerate(first)]
    expected = to_json_bytes(summary_of(records, parallel=3))
    random.Random(1).shuffle(records)
    assert to_json_bytes(summary_of(records, parallel=3)) == expected


def test_a_scenario_met_twice_is_refused(dropped: Factory):
    with pytest.raises(ValueError, match="two records of arm flow_only, round 0, e1, scenario s0"):
        RunRecords.of([dropped("s0"), dropped("s0")])


def test_a_repetition_of_an_unknown_scenario_is_refused(dropped: Factory, again: Factory):
    with pytest.raises(ValueError, match="repeats scenario s0, which E1 has not met"):
        RunRecords.of([again(dropped("s0"), "parallel")])


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "lost"}, {"exposure": "later"}, {"round": 1}, {"outcome": "failure"}],
)
def test_a_record_that_contradicts_itself_is_refused(e1: Factory, changes: dict):
    with pytest.raises(ValueError, match=r"expected one of|e1 is round 0|without a failure type"):
        e1("s0", **changes)


def test_a_record_of_plain_words_is_one_of_members(e1: Factory):
    record = e1("s0", outcome="invalid")
    assert record.outcome is Outcome.INVALID
    assert record.exposure is Exposure.E1
    assert EpisodeRecord.from_json(record.to_json()) == record
    assert '"exposure": "e1"' in record.to_json()
