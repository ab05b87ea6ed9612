"""From an alarm to a remembered case: what was sensed decides which correction is tried first."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.detection.alarm import FailureAlarm
from flow_rag_vla.agents.detection.rules import RuleDetector
from flow_rag_vla.agents.recall.remember import DecisionSnapshot, FailureNotebook
from flow_rag_vla.tasks.contract import FAILURE_TYPES


def first_to_try(observations, decided_on):
    """Name of the correction that the remembered case would try first."""
    detector, notebook = RuleDetector(1), FailureNotebook(1)
    snapshot = DecisionSnapshot(decided_on, torch.ones(1, 512), torch.zeros(1, 8, 7))
    notebook.decided(snapshot)
    for o in observations:
        notebook.alarmed(detector.update(o).mask)
    posterior = notebook.cases(detector.first)[0].posterior
    return CANDIDATE_NAMES[(posterior[:, 0] / posterior.sum(axis=1)).argmax()]


@pytest.mark.parametrize(("offset", "expected"), [(0.05, "goal_minus_half"), (-0.05, "goal_plus_half")])
def test_a_misplacement_is_answered_on_the_other_side_of_the_goal(observe, carry, offset, expected):
    y = 0.22 + offset
    released = observe(object_pos_b=[0.5, y, 0.025], ee_pos_b=[0.5, y, 0.06])
    steps = [observe(), carry((0.5, 0.0, 0.145)), carry((0.5, y, 0.025)), *[released] * 20]
    assert first_to_try(steps, observe()) == expected


@pytest.mark.parametrize(("side", "expected"), [(1, "object_plus"), (-1, "object_minus")])
def test_a_hand_that_stood_on_the_object_looks_on_the_side_of_the_finger_that_touched(observe, side, expected):
    hand, target = [0.5, -0.27 - 0.03 * side, 0.058], [0.5, -0.26 - 0.03 * side, 0.03]
    stands = observe(
        ee_pos_b=hand, ee_target_pos_b=target, hand_force_b=[0.0, 0.0, 60.0], gripper_width_m=[0.08 + 0.005 * side]
    )
    assert first_to_try([observe(), *[stands] * 15], observe()) == expected


def test_an_object_that_gave_way_in_the_fingers_is_held_more_softly(observe, carry):
    rest = (0.5, -0.27, 0.025)
    empty = observe(gripper_width_m=[0.0], previous_action=[0.0] * 6 + [-0.25])
    assert first_to_try([observe(), *[carry(rest)] * 4, *[empty] * 4], observe()) == "grip_down_3"


def test_a_bar_that_swung_is_grasped_nearer_to_the_end_that_hung_down(observe, carry):
    bar = {"object_size_m": [0.14, 0.04, 0.04], "gripper_width_m": [0.04]}
    swung = carry((0.5, -0.27, 0.1), object_quat_b=[0.0, 0.216, 0.0, 0.976], **bar)
    empty = observe(gripper_width_m=[0.0], previous_action=[0.0] * 6 + [-0.25], object_size_m=bar["object_size_m"])
    steps = [observe(**bar), carry((0.5, -0.27, 0.03), **bar), swung, *[empty] * 4]
    assert first_to_try(steps, observe(**bar)) == "grasp_plus_firm"


def test_a_case_tells_of_the_first_alarm_and_of_the_decision_before_it(observe):
    hit, drop = (FAILURE_TYPES.index(name) for name in ("collision", "drop"))
    notebook, first = FailureNotebook(3), FailureAlarm.none(3)
    decided = [DecisionSnapshot(observe(3), torch.ones(3, 512), torch.full((3, 8, 7), float(i))) for i in range(3)]
    # The first environment alarms after every decision, the second after the second one, the third never.
    for i, (snapshot, kind) in enumerate(zip(decided, (hit, drop, drop), strict=True)):
        mask = torch.tensor([True, i == 1, False])
        alarm = dataclasses.replace(
            FailureAlarm.none(3), mask=mask, failure_type=torch.where(mask, kind, -1), phase=torch.where(mask, 0, -1)
        )
        notebook.decided(snapshot)
        notebook.alarmed(mask)
        first = first.where(mask & ~first.mask, alarm)
    cases = notebook.cases(first)
    assert {env: (case.failure_type, case.failed_action[0, 0]) for env, case in cases.items()} == {
        0: ("collision", 0.0),
        1: ("drop", 1.0),
    }
    assert list(notebook.cases(first, torch.tensor([False, True, True]))) == [1]


def test_an_alarm_before_the_first_decision_is_refused():
    with pytest.raises(RuntimeError, match="before the first decision"):
        FailureNotebook(1).alarmed(torch.tensor([True]))


@pytest.mark.parametrize("broken", ["keys", "chunk"])
def test_a_decision_that_was_no_number_becomes_no_case_beside_one_that_was(observe, broken):
    hit = torch.full((2,), FAILURE_TYPES.index("collision"))
    snapshot = DecisionSnapshot(observe(2), torch.ones(2, 512), torch.zeros(2, 8, 7))
    getattr(snapshot, broken).flatten(1)[1, -1] = torch.nan
    notebook, detector = FailureNotebook(2), RuleDetector(2)
    notebook.decided(snapshot)
    notebook.alarmed(torch.ones(2, dtype=torch.bool))
    cases = notebook.cases(dataclasses.replace(detector.first, failure_type=hit, phase=hit * 0))
    assert list(cases) == [0]
