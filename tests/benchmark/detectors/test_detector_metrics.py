"""Metrics of failure detectors on hand-made episodes, and the sets that they are computed on."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from flow_rag_vla.agents.detection.conformal import AlarmLimits
from flow_rag_vla.benchmark.detectors.failure_set import FailureSet
from flow_rag_vla.benchmark.detectors.fit import (
    Scores,
    alarm_limits,
    chunk_scores,
    load_failures,
    origins,
    require_disjoint,
    training_rows,
)
from flow_rag_vla.benchmark.detectors.metrics import first_alarms, measure, rule_verdicts
from flow_rag_vla.benchmark.detectors.suites import fault_groups, with_chunks
from flow_rag_vla.benchmark.detectors.tables import report_tables
from flow_rag_vla.tasks.contract import FAILURE_TYPES, PHASES

DROP, COLLISION = FAILURE_TYPES.index("drop"), FAILURE_TYPES.index("collision")


def limits_at(threshold: float) -> AlarmLimits:
    return AlarmLimits(torch.zeros(len(PHASES), 1), torch.ones(1), torch.tensor(threshold))


@pytest.fixture
def episodes() -> FailureSet:
    """Four episodes of three rows at steps 4, 8 and 10: dropped at 6, collided at 10, fine, recovered from a drop."""
    n, rows = 4, 12
    return FailureSet(
        before=torch.zeros(rows, 3).half(),
        after=torch.arange(3.0 * rows).reshape(rows, 3).half(),
        action=torch.zeros(rows, 7).half(),
        phase=torch.zeros(rows, dtype=torch.long),
        chunk=torch.ones(rows, 2),
        step=torch.tensor([4, 8, 10]).repeat(n),
        episode=torch.arange(n).repeat_interleave(3),
        failed=torch.tensor([True, True, False, False]),
        failure_type=torch.tensor([DROP, COLLISION, -1, DROP]),
        failure_phase=torch.tensor([3, 3, -1, 3]),
        failure_step=torch.tensor([6, 10, -1, 5]),
        steps=torch.full((n,), 10),
        rule_type=torch.tensor([DROP, DROP, -1, -1]),
        rule_phase=torch.tensor([3, 3, -1, -1]),
        rule_step=torch.tensor([7, 9, -1, -1]),
        layout_seed=torch.tensor([100, 101, 102, 103]),
        faults=("push", "post", "none", "push"),
        tasks=("A", "A", "A", "B"),
    )


def scores(*rows: float, kind: int | None = None) -> Scores:
    return Scores(torch.tensor(rows).unsqueeze(1), None if kind is None else torch.full((len(rows),), kind))


def test_rows_fail_from_the_causal_event_on_and_only_in_episodes_that_fail(episodes):
    assert episodes.has_failed().nonzero().flatten().tolist() == [1, 2, 5]


def test_the_last_moments_before_a_failure_are_not_trained_on(episodes):
    rows = training_rows(episodes)
    # Steps 4 to 10 of the two failing episodes lie within one window before their events.
    assert (rows.weight == 0).nonzero().flatten().tolist() == [0, 3, 4]
    assert rows.weight[1].item() == pytest.approx(2**-0.5)
    assert rows.weight[5].item() == pytest.approx(1.0)
    assert rows.weight[6].item() == pytest.approx(3**-0.5)


def test_metrics_of_known_alarms(episodes):
    verdicts = first_alarms(scores(0, 0.6, 0.9, 0, 0.6, 0, 0, 0, 0.1, 0, 0.7, 0, kind=DROP), limits_at(0.5), episodes)
    assert verdicts.alarm_step.tolist() == [8, 8, -1, 8]
    m = measure(verdicts, episodes)
    assert (m.episodes, m.failed, m.detected.k, m.detected.n) == (4, 2, 2, 2)
    assert (m.false_alarms.k, m.false_alarms.n) == (1, 2)
    assert (m.false_alarms_uneventful.k, m.false_alarms_uneventful.n) == (0, 1)
    assert m.type_accuracy is not None
    assert (m.type_accuracy.k, m.type_accuracy.n) == (1, 2)
    assert m.named is not None
    assert (m.named.k, m.named.n) == (1, 2)
    # Largest scores 0.9, 0.6 against 0.1, 0.7: three of four pairs in the right order.
    assert m.roc_auc == pytest.approx(0.75)
    assert m.balanced_accuracy == pytest.approx(0.75)
    # Two steps after the drop, two before the collision; two steps before the end.
    assert m.delay.median == pytest.approx(0.0)
    assert (m.delay.early.k, m.delay.early.n) == (1, 2)
    assert m.delay.before_end == pytest.approx(2.0)


def test_a_score_at_the_threshold_is_no_alarm_and_infinity_never(episodes):
    flat = scores(*[0.5] * 12)
    assert bool((first_alarms(flat, limits_at(0.5), episodes).alarm_step == -1).all())
    m = measure(first_alarms(scores(*[9.0] * 12), limits_at(torch.inf), episodes), episodes)
    assert (m.detected.k, m.false_alarms.k, m.delay.median, m.type_accuracy) == (0, 0, None, None)


def test_the_rules_are_measured_by_their_first_alarm(episodes):
    m = measure(rule_verdicts(episodes), episodes)
    assert (m.roc_auc, m.balanced_accuracy, m.detected.k, m.false_alarms.k) == (1.0, 1.0, 2, 0)
    assert m.type_accuracy is not None
    assert m.type_accuracy.k == 1
    assert m.delay.median == pytest.approx(0.0)


def test_nothing_is_measured_where_nothing_failed(episodes):
    m = measure(rule_verdicts(episodes.select(~episodes.failed)), episodes.select(~episodes.failed))
    assert (m.roc_auc, m.balanced_accuracy, m.detected.rate) == (None, None, None)


def test_successes_alone_make_thresholds(episodes):
    many = FailureSet.concatenate([episodes] * 60)
    limits = alarm_limits(scores(*range(12), *list(range(12)) * 59), many, alpha=0.25)
    # Maxima of the 120 successes are 8 and 11 in turn: the first half has only 8, the second exceeds it by 3.
    assert limits.levels[0].item() == 8.0
    assert bool(torch.isinf(limits.levels[1:]).all())
    assert (limits.scales.item(), limits.offset.item()) == (1.0, 3.0)


def test_summed_chunk_distances_start_anew_with_each_episode(episodes):
    assert chunk_scores(episodes, 1, cumulative=True).score[:, 0].tolist() == [1.0, 2.0, 3.0] * 4


def test_episodes_without_chunks_are_known(episodes):
    chunk = episodes.chunk.clone()
    chunk[4] = torch.nan
    assert with_chunks(dataclasses.replace(episodes, chunk=chunk)).tolist() == [True, False, True, True]


def test_a_selection_and_a_concatenation_keep_rows_with_their_episodes(episodes):
    kept = episodes.select(torch.tensor([False, True, False, True]))
    assert (kept.faults, kept.tasks, kept.layout_seed.tolist()) == (("post", "push"), ("A", "B"), [101, 103])
    assert torch.equal(kept.after, torch.cat([episodes.after[3:6], episodes.after[9:]]))
    both = FailureSet.concatenate([kept, episodes])
    assert both.episode.tolist() == [0, 0, 0, 1, 1, 1, *(episodes.episode + 2).tolist()]
    assert both.of_task("B").num_episodes == 2


def test_a_set_survives_saving_and_only_its_split_may_play_its_role(episodes, tmp_path):
    path = tmp_path / "a_fit.safetensors"
    episodes.save(path, {"seed": 11})
    loaded = load_failures(tmp_path, "fit")
    assert torch.equal(loaded.after, episodes.after)
    assert loaded.faults == episodes.faults
    assert origins(tmp_path, "fit") == [{"seed": 11}]
    path.rename(tmp_path / "a_test.safetensors")
    with pytest.raises(ValueError, match="only development seeds are allowed"):
        load_failures(tmp_path, "test")
    with pytest.raises(ValueError, match="record episodes with"):
        load_failures(tmp_path, "fit")


def test_a_foreign_or_cut_file_gives_one_line(episodes, tmp_path):
    path = tmp_path / "a_fit.safetensors"
    episodes.save(path, {})
    whole = load_file(path)
    for header in ("no JSON", json.dumps({"format": "flow-rag-vla-failures"}), json.dumps({"format": "other"})):
        save_file(whole, path, metadata={"failures": header})
        with pytest.raises(ValueError, match=r"a_fit\.safetensors: (its header is not JSON|not a file that)"):
            FailureSet.load(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="not a readable safetensors file") as error:
        FailureSet.load(path)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no such file"):
        FailureSet.load(tmp_path / "none.safetensors")


def test_sets_that_share_a_layout_are_refused(episodes):
    with pytest.raises(ValueError, match="layout seed 100 is in two sets"):
        require_disjoint([episodes, episodes])


def test_every_fault_is_held_out_with_its_family_and_in_one_fold():
    faults = ("push", "post", "beam", "none", "weak_grip", "heavy_object")
    groups = fault_groups(faults)
    assert groups["family collision"] == ("beam", "post")
    assert groups["family drop"] == ("heavy_object", "push")
    folds = [name for key, group in groups.items() if key.startswith("fold") for name in group]
    assert sorted(folds) == sorted(set(faults) - {"none"})


def test_tables_say_what_was_measured_and_a_dash_where_nothing_was(episodes):
    rules = dataclasses.asdict(measure(rule_verdicts(episodes), episodes))
    good = episodes.select(~episodes.failed)
    nothing = dataclasses.asdict(measure(rule_verdicts(good), good))
    times = {"batch_1": {"network": {"p50": 0.07, "p95": 0.15}}}
    text = report_tables({"in_suite": {"rules": rules}, "by_task": {"A": {"rules": nothing}}, "ms_per_call": times})
    assert "| rules | 4 (2) | 1.000 [1.000, 1.000] | 1.000 | 0.500 [0.095, 0.905]" in text
    assert "| rules | 2 (0) | - | - | - | - | - | 0.000 [0.000, 0.658] | - | - |" in text
    assert "batch 1, network: median 0.070 ms, 95th percentile 0.150 ms" in text
