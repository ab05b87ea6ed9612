from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES, CANDIDATES
from flow_rag_vla.agents.corrections.observation_correction import apply_observation_correction

BAR = [0.14, 0.04, 0.04]
START, GOAL = [0.5, -0.27, 0.025], [0.5, 0.22, 0.025]


def index(*names):
    return torch.tensor([CANDIDATE_NAMES.index(name) for name in names])


def turned(degrees):
    """Quaternion (xyzw) of a turn about z."""
    half = math.radians(degrees) / 2
    return [0.0, 0.0, math.sin(half), math.cos(half)]


def shifts(name, observation):
    """How far object and goal are moved, m."""
    seen = apply_observation_correction(index(name), observation)
    pairs = (seen.object_pos_b, observation.object_pos_b), (seen.goal_pos_b, observation.goal_pos_b)
    return [(after - before)[0].tolist() for after, before in pairs]


@pytest.mark.parametrize(
    ("name", "object_y", "goal_y"),
    [
        ("object_plus", 0.03, 0.0),
        ("object_minus", -0.03, 0.0),
        ("goal_plus", 0.0, 0.05),
        ("goal_minus", 0.0, -0.05),
    ],
)
def test_a_free_object_and_the_goal_are_seen_beside_where_they_are_perceived(observe, name, object_y, goal_y):
    moved, goal = shifts(name, observe())
    assert moved == pytest.approx([0.0, object_y, 0.0], abs=1e-6)
    assert goal == pytest.approx([0.0, goal_y, 0.0], abs=1e-6)


def test_a_held_object_is_seen_where_it_is_and_its_goal_still_beside(carry):
    o = carry((0.5, 0.0, 0.145))
    assert shifts("object_plus", o) == [[0.0] * 3, [0.0] * 3]
    assert shifts("goal_minus", o)[1] == pytest.approx([0.0, -0.05, 0.0], abs=1e-6)


@pytest.mark.parametrize("name", ["object_plus", "object_minus", "goal_plus", "goal_minus"])
def test_what_was_put_down_at_the_goal_is_seen_as_it_is(observe, name):
    o = observe(object_pos_b=[0.5, 0.17, 0.025])
    assert shifts(name, o) == [[0.0] * 3, [0.0] * 3]


def test_an_object_far_below_its_goal_has_not_been_put_down(observe):
    above = observe(goal_pos_b=[0.5, -0.27, 0.225])
    assert shifts("object_plus", above)[0] == pytest.approx([0.0, 0.03, 0.0], abs=1e-6)


@pytest.mark.parametrize(("name", "d"), [("grasp_plus", 0.05), ("grasp_minus", -0.05)])
def test_a_grasp_offset_moves_object_and_goal_along_the_long_axis(observe, name, d):
    moved, goal = shifts(name, observe(object_size_m=BAR, object_quat_b=turned(30)))
    along = [d * math.cos(math.radians(30)), d * math.sin(math.radians(30)), 0.0]
    assert moved == pytest.approx(along, abs=1e-6)
    assert goal == pytest.approx(along, abs=1e-6)


def test_bringing_the_grasped_spot_to_the_moved_goal_leaves_the_centre_on_the_true_goal(carry):
    grasp = torch.tensor([0.0, 0.05, 0.0])  # a quarter turn: the long axis is the base's y axis
    centre = torch.tensor([0.5, 0.1, 0.145])
    o = carry(tuple(centre.tolist()), object_size_m=BAR, object_quat_b=turned(90), ee_pos_b=(centre + grasp).tolist())
    seen = apply_observation_correction(index("grasp_plus"), o)
    torch.testing.assert_close(seen.object_pos_b[0], seen.ee_pos_b[0])
    travel = seen.goal_pos_b[0] - seen.ee_pos_b[0]
    torch.testing.assert_close(centre + travel, o.goal_pos_b[0])


def test_compact_objects_have_no_other_place_to_grasp(observe):
    assert shifts("grasp_plus", observe()) == [[0.0] * 3, [0.0] * 3]
    assert shifts("grasp_plus", observe(object_size_m=[0.05, 0.04, 0.04])) == [[0.0] * 3, [0.0] * 3]


def test_rows_of_other_candidates_and_all_other_fields_keep_every_bit(observe):
    names = [c.name for c in CANDIDATES]
    o = observe(len(names), object_size_m=BAR)
    o = dataclasses.replace(o, object_pos_b=o.object_pos_b * torch.tensor([1.0, 1.0, -0.0]))
    seen = apply_observation_correction(index(*names), o)
    others = torch.tensor([not c.corrects_observation for c in CANDIDATES])
    for name, value in vars(o).items():
        if name == "instruction":
            continue
        same = getattr(seen, name)
        if name in ("object_pos_b", "goal_pos_b"):
            assert torch.equal(same[others].view(torch.int32), value[others].view(torch.int32))
        else:
            assert same is value
    assert not torch.equal(seen.object_pos_b, o.object_pos_b)


def test_without_such_a_candidate_object_and_goal_stay_where_they_are_perceived(observe):
    o = observe(2)
    seen = apply_observation_correction(index("none", "grip_up_4"), o)
    assert torch.equal(seen.object_pos_b, o.object_pos_b)
    assert torch.equal(seen.goal_pos_b, o.goal_pos_b)


def test_each_row_is_corrected_by_itself(observe):
    n = len(CANDIDATES)
    o = observe(n, object_size_m=BAR, object_quat_b=turned(20))
    together = apply_observation_correction(torch.arange(n), o)
    for i in range(n):
        row = torch.tensor([i])
        alone = apply_observation_correction(row, o.select(row))
        assert torch.equal(alone.object_pos_b[0], together.object_pos_b[i])
        assert torch.equal(alone.goal_pos_b[0], together.goal_pos_b[i])
