from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.detection.rules import RuleDetector, classify_failure
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOMINAL_GRIP, PHASES

OPEN, CLOSED = [0.0] * 6 + [NOMINAL_GRIP], [0.0] * 6 + [-NOMINAL_GRIP]
REST = (0.5, -0.27, 0.025)


@pytest.fixture
def detector(observe):
    """A detector that has seen the hand over the cube."""
    detector = RuleDetector(1)
    detector.update(observe())
    return detector


def feed(detector, observations):
    """Alarms raised, as (type, phase) names."""
    raised = []
    for o in observations:
        alarm = detector.update(o)
        if alarm.mask[0]:
            raised.append((FAILURE_TYPES[int(alarm.failure_type[0])], PHASES[int(alarm.phase[0])]))
    return raised


def lost(observe, hand, cube, steps=5, **changes):
    """The closed hand is empty at ``hand``, the cube lies at ``cube``."""
    empty = {"gripper_width_m": [0.0], "grip_force_n": [0.0], "previous_action": CLOSED}
    return [observe(ee_pos_b=list(hand), object_pos_b=list(cube), **(empty | changes))] * steps


def journey(carry):
    """A carry from the start to the goal, 16 steps."""
    lift = [carry((0.5, -0.27, 0.025 + 0.03 * i)) for i in range(5)]
    across = [carry((0.5, -0.27 + 0.07 * i, 0.145)) for i in range(1, 8)]
    return lift + across + [carry((0.5, 0.22, 0.145 - 0.03 * i)) for i in range(1, 5)]


def test_a_smooth_episode_raises_no_alarm(detector, observe, carry):
    placed = [observe(object_pos_b=[0.5, 0.22, 0.025], ee_pos_b=[0.5, 0.22, 0.1])] * 180
    assert feed(detector, journey(carry) + placed) == []
    assert not detector.first.mask[0]


def test_phases_follow_the_episode(detector, observe, carry):
    names = []
    closing = observe(ee_pos_b=list(REST), previous_action=CLOSED, gripper_width_m=[0.06])
    for o in (
        observe(),
        closing,
        carry(REST),
        carry((0.5, -0.27, 0.08)),
        carry((0.5, 0.0, 0.145)),
        carry((0.5, 0.2, 0.1)),
    ):
        detector.update(o)
        names.append(PHASES[int(detector.phase(o)[0])])
    assert names == ["approach", "grasp", "grasp", "lift", "carry", "place"]


def test_an_object_lost_on_the_table_is_a_failed_grasp(detector, observe, carry):
    steps = [carry(REST)] * 4 + lost(observe, (0.5, -0.27, 0.06), REST)
    assert feed(detector, steps) == [("grasp_failure", "grasp")]


def test_an_object_lost_just_above_the_table_is_a_failed_grasp_in_the_lift(detector, observe, carry):
    steps = [carry(REST), carry((0.5, -0.27, 0.05)), *lost(observe, (0.5, -0.27, 0.12), (0.5, -0.27, 0.04))]
    assert feed(detector, steps) == [("grasp_failure", "lift")]


def test_an_object_lost_in_mid_carry_is_a_drop(detector, observe, carry):
    steps = journey(carry)[:8] + lost(observe, (0.5, -0.06, 0.145), (0.5, -0.06, 0.025))
    assert feed(detector, steps) == [("drop", "carry")]


def test_an_object_that_slides_out_while_the_fingers_still_squeeze_is_lost(detector, observe, carry):
    sliding = [
        observe(
            ee_pos_b=[0.5, -0.06, 0.145],
            object_pos_b=[0.5, -0.06, 0.145 - 0.01 * i],
            gripper_width_m=[0.05],
            grip_force_n=[10.0],
            previous_action=CLOSED,
        )
        for i in range(8)
    ]
    assert feed(detector, journey(carry)[:8] + sliding) == [("drop", "carry")]


def test_one_bad_reading_is_not_a_loss(detector, observe, carry):
    steps = journey(carry)[:8]
    assert feed(detector, steps + lost(observe, (0.5, -0.06, 0.145), (0.5, -0.06, 0.145), 1) + steps[-1:]) == []


def test_the_alarm_tells_how_hard_the_object_pulled(observe, carry):
    def load(pull):
        detector = RuleDetector(1)
        detector.update(observe())
        for _ in range(10):
            detector.update(carry(REST, hand_force_b=[0.0, 0.0, -pull]))
        for o in lost(observe, (0.5, -0.27, 0.08), REST):
            detector.update(o)
        return detector.first.load_n.item()

    assert load(3.3) == pytest.approx(3.3, abs=0.2)
    assert load(0.6) == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(
    ("hand", "link", "expected", "on_link"),
    [
        ([0.0, -32.0, 0.0], [0.0] * 3, True, False),
        ([0.0, 0.0, 35.0], [0.0] * 3, True, False),
        ([0.0, 0.0, -35.0], [0.0] * 3, False, False),
        ([0.0, 0.0, -50.0], [0.0] * 3, False, False),
        ([20.0, -25.0, -40.0], [0.0] * 3, True, False),
        ([0.0, -10.0, -25.0], [0.0] * 3, False, False),
        ([0.0, 0.0, -5.0], [0.0, 40.0, 0.0], True, True),
        ([2.0, 2.0, 2.0], [3.0, 3.0, 3.0], False, False),
    ],
)
def test_contact_forces_are_collisions_but_pushes_on_a_held_object_are_not(
    detector, carry, hand, link, expected, on_link
):
    detector.update(carry((0.5, -0.1, 0.145)))
    alarm = detector.update(carry((0.5, -0.1, 0.145), hand_force_b=hand, link_force_b=link))
    assert bool(alarm.mask[0]) is expected
    assert bool(alarm.link_contact[0]) is on_link
    if expected:
        assert FAILURE_TYPES[int(alarm.failure_type[0])] == "collision"


def test_pressing_a_held_object_onto_the_table_is_no_collision(detector, carry):
    press = {"hand_force_b": [-13.0, -2.0, 32.5]}
    assert feed(detector, [carry((0.5, 0.22, 0.03), **press)]) == []
    assert feed(detector, [carry((0.5, 0.0, 0.145), **press)]) == [("collision", "carry")]


def test_a_chattering_width_is_no_loss_while_the_fingers_feel_the_object(detector, observe, carry):
    chatter = [carry((0.5, 0.0, 0.145), gripper_width_m=[w], grip_force_n=[29.0]) for w in (0.05, 0.024, 0.038) * 4]
    assert feed(detector, journey(carry)[:8] + chatter) == []


def test_a_lasting_contact_is_reported_once(detector, carry):
    hit = carry((0.5, -0.1, 0.145), hand_force_b=[0.0, -50.0, 0.0])
    assert len(feed(detector, [hit] * 5)) == 1


def test_closing_on_nothing_for_long_is_a_missed_grasp_once(detector, observe):
    closing = observe(gripper_width_m=[0.0], previous_action=CLOSED)
    assert feed(detector, [closing] * 21) == []
    assert feed(detector, [closing] * 40) == [("grasp_failure", "grasp")]
    assert feed(detector, [observe()] + [closing] * 30) == [("grasp_failure", "grasp")]


def test_time_is_counted_in_control_steps_whatever_the_update_rate(observe):
    detector = RuleDetector(1)
    closing = observe(gripper_width_m=[0.0], previous_action=CLOSED)
    steps = [int(detector.update(closing, steps=4).step[0]) for _ in range(8)]
    assert [s for s in steps if s >= 0] == [24]


def test_an_object_released_off_the_goal_is_misaligned(detector, observe, carry):
    released = observe(object_pos_b=[0.55, 0.22, 0.025], ee_pos_b=[0.55, 0.22, 0.05])
    assert feed(detector, journey(carry) + [released] * 30) == [("misalignment", "approach")]


def test_a_short_new_squeeze_does_not_undo_a_misplaced_release_but_lifting_again_does(observe, carry):
    where = (0.5, 0.17, 0.025)
    released = observe(object_pos_b=list(where), ee_pos_b=[0.5, 0.17, 0.05])
    for again, expected in (([carry(where)], ["misalignment"]), ([carry((0.5, 0.17, 0.08))], [])):
        detector = RuleDetector(1)
        steps = [observe(), *journey(carry)[:-1], carry(where), *[released] * 8, *again, *[released] * 8]
        assert [kind for kind, _ in feed(detector, steps)] == expected


def test_letting_go_where_the_object_lay_is_no_misplacement(detector, observe, carry):
    assert feed(detector, [carry(REST)] * 3 + [observe()] * 30) == []


@pytest.mark.parametrize("offset", [0.05, -0.05])
def test_a_misplacement_says_on_which_side_of_the_goal_it_is(detector, observe, carry, offset):
    released = observe(object_pos_b=[0.5, 0.22 + offset, 0.025], ee_pos_b=[0.5, 0.22 + offset, 0.05])
    assert [kind for kind, _ in feed(detector, journey(carry) + [released] * 30)] == ["misalignment"]
    assert detector.first.offset_y_m.item() == pytest.approx(offset, abs=1e-6)
    assert not detector.first.missed[0]


def standing(observe, side, steps, **changes):
    """The hand stands on the cube with the finger on ``side``; the arm gives way to -y."""
    width = 0.08 + 0.006 * side
    hand = {"ee_pos_b": [0.5, -0.27 - 0.03 * side, 0.058], "ee_target_pos_b": [0.5, -0.26 - 0.03 * side, 0.03]}
    force = {"hand_force_b": [-30.0, 5.0, 90.0], "grip_force_n": [45.0], "gripper_width_m": [width]}
    return [observe(**(hand | force | changes))] * steps


@pytest.mark.parametrize("side", [1, -1])
def test_standing_on_the_object_is_a_missed_grasp_and_says_which_finger_touched(detector, observe, side):
    touch = standing(observe, side, 4)
    slipped = standing(observe, -side, 20, ee_pos_b=[0.5, -0.25, 0.058])
    assert feed(detector, [*touch, *slipped]) == [("grasp_failure", "grasp")]
    assert detector.first.missed[0]
    assert int(detector.first.step[0]) == 11
    assert detector.first.side_y.sign().item() == side


def test_a_touch_is_neither_a_collision_nor_a_miss(detector, observe):
    assert feed(detector, standing(observe, 1, 9) + [observe()] * 5) == []


def test_fingers_that_close_on_top_of_an_object_do_not_hold_it(detector, observe):
    closing = standing(observe, 1, 30, previous_action=CLOSED, hand_force_b=[0.0, 0.0, 40.0])
    assert feed(detector, closing) == [("grasp_failure", "grasp")]
    assert detector.first.missed[0]


def test_what_was_held_and_lost_is_not_missed(detector, observe, carry):
    feed(detector, [carry(REST)] * 4 + lost(observe, (0.5, -0.27, 0.06), REST))
    assert FAILURE_TYPES[int(detector.first.failure_type[0])] == "grasp_failure"
    assert not detector.first.missed[0]


BAR = {"object_size_m": [0.14, 0.04, 0.04], "gripper_width_m": [0.04]}


def test_a_bar_gripped_off_its_centre_is_in_the_hand(detector, carry):
    held = carry((0.5, -0.27, 0.1), ee_pos_b=[0.545, -0.27, 0.1], **BAR)
    assert feed(detector, [held] * 40) == []
    # The same distance beside the bar is not.
    beside = carry((0.5, -0.27, 0.1), ee_pos_b=[0.5, -0.315, 0.1], **BAR)
    assert feed(detector, [beside] * 3) == [("drop", "lift")]


@pytest.mark.parametrize("degrees", [25.0, -25.0])
def test_a_bar_that_swings_says_which_end_is_heavy(detector, observe, carry, degrees):
    half = math.radians(degrees) / 2  # about y: positive turns the +x end down
    swung = carry((0.5, -0.27, 0.08), object_quat_b=[0.0, math.sin(half), 0.0, math.cos(half)], **BAR)
    level = carry((0.5, -0.27, 0.03), **BAR)
    gone = lost(observe, (0.5, -0.27, 0.15), REST, object_size_m=BAR["object_size_m"])
    assert [kind for kind, _ in feed(detector, [level, level, swung, *gone])] == ["grasp_failure", "drop"]
    assert detector.first.tilt.item() == pytest.approx(-math.sin(math.radians(degrees)), abs=1e-5)
    feed(detector, [observe(**BAR), level])
    assert detector.update(level).tilt.item() == pytest.approx(0.0, abs=1e-6)


def test_running_out_of_time_is_a_timeout_unless_the_object_is_placed(observe):
    for object_pos, expected in ((REST, 1), ((0.5, 0.22, 0.025), 0)):
        detector = RuleDetector(1, max_steps=10)
        raised = feed(detector, [observe(object_pos_b=list(object_pos))] * 10)
        assert [kind for kind, _ in raised] == ["timeout"] * expected


def test_the_first_alarm_is_kept_and_later_ones_are_still_reported(detector, observe, carry):
    drop = journey(carry)[:8] + lost(observe, (0.5, -0.06, 0.145), (0.5, -0.06, 0.025))
    hit = observe(hand_force_b=[0.0, -50.0, 0.0])
    assert [kind for kind, _ in feed(detector, [*drop, hit])] == ["drop", "collision"]
    assert FAILURE_TYPES[int(detector.first.failure_type[0])] == "drop"
    assert int(detector.first.step[0]) == 11


def test_a_reset_forgets_its_own_rows_only(observe):
    detector = RuleDetector(3)
    detector.update(observe(3, hand_force_b=[0.0, -50.0, 0.0]))
    detector.reset(torch.tensor([1]))
    assert detector.first.mask.tolist() == [True, False, True]
    assert feed(detector, [observe(3)]) == []


def test_ended_episodes_raise_no_alarm_and_keep_their_state(observe):
    detector = RuleDetector(2)
    alarm = detector.update(observe(2, hand_force_b=[0.0, -50.0, 0.0]), running=torch.tensor([True, False]))
    assert alarm.mask.tolist() == [True, False]
    assert alarm.failure_type.tolist() == [FAILURE_TYPES.index("collision"), -1]
    assert detector.first.mask.tolist() == [True, False]


def test_rows_do_not_depend_on_their_neighbours(observe, carry):
    alone, pair = RuleDetector(1), RuleDetector(2)
    for o in [*journey(carry)[:8], *lost(observe, (0.5, -0.06, 0.145), (0.5, -0.06, 0.025))]:
        other = observe()
        both = type(o)(
            **{k: torch.cat([v, getattr(other, k)]) for k, v in vars(o).items() if isinstance(v, torch.Tensor)},
            instruction=("", ""),
        )
        one, two = alone.update(o), pair.update(both)
        assert torch.equal(one.failure_type, two.failure_type[:1])
        assert not two.mask[1]


def test_a_pair_of_observations_is_classified(observe, carry):
    gone = {"gripper_width_m": [0.0], "grip_force_n": [0.0], "previous_action": CLOSED}
    high, low = carry((0.5, 0.0, 0.145)), carry(REST)
    closing, opening = torch.tensor([CLOSED]), torch.tensor([OPEN])
    cases = {
        "drop": (high, observe(object_pos_b=[0.5, 0.0, 0.025], ee_pos_b=[0.5, 0.0, 0.145], **gone), closing),
        "grasp_failure": (low, observe(ee_pos_b=[0.5, -0.27, 0.06], **gone), closing),
        "collision": (high, carry((0.5, 0.0, 0.145), hand_force_b=[0.0, -40.0, 0.0]), closing),
        "misalignment": (high, observe(object_pos_b=[0.5, 0.0, 0.025]), opening),
        "unknown": (observe(), observe(), opening),
    }
    for expected, (before, after, action) in cases.items():
        assert classify_failure(before, after, action) == [expected]
        assert classify_failure(before, after, action.unsqueeze(1).repeat(1, 8, 1)) == [expected]
