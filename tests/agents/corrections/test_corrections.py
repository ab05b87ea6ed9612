from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.corrections.corrections import (
    CANDIDATE_NAMES,
    CANDIDATES,
    LOW_CLEARANCE_M,
    NOMINAL_CLEARANCE_M,
    apply_correction,
    corrects_chunks,
)
from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M, NOMINAL_GRIP

REST_M = 0.025
V = MAX_DELTA_POS_M


def index(name):
    return torch.tensor([CANDIDATE_NAMES.index(name)])


def chunk_of(delta, grip=-NOMINAL_GRIP, horizon=8):
    chunk = torch.zeros(1, horizon, 7)
    chunk[..., :3] = torch.tensor(delta)
    chunk[..., 6] = grip
    return chunk


def path(observation, chunk):
    """Pose targets after each action, (horizon, 3)."""
    return observation.ee_target_pos_b[0] + chunk[0, :, :3].cumsum(dim=0)


def test_the_list_starts_with_changing_nothing_and_names_are_unique():
    assert CANDIDATES[0].name == "none"
    assert len(set(CANDIDATE_NAMES)) == len(CANDIDATES) == 25


def test_no_correction_keeps_every_bit(carry):
    chunk = torch.randn(4, 8, 7, generator=torch.Generator().manual_seed(0))
    mixed = torch.tensor([0, 3, 0, CANDIDATE_NAMES.index("lift_10cm")])
    corrected = apply_correction(mixed, chunk, carry((0.5, -0.1, 0.145), 4))
    assert torch.equal(corrected[[0, 2]], chunk[[0, 2]])
    assert not torch.equal(corrected[1], chunk[1])


def test_each_row_is_corrected_by_itself(carry):
    n = len(CANDIDATES)
    o = carry((0.5, -0.1, 0.145), n)
    chunk = chunk_of([0.0, V, 0.0]).repeat(n, 1, 1)
    together = apply_correction(torch.arange(n), chunk, o)
    for i in range(n):
        alone = apply_correction(torch.tensor([i]), chunk[:1], o.select(torch.tensor([i])))
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=0)


@pytest.mark.parametrize(("name", "newton"), [("grip_up_1", 13.0), ("grip_up_4", 28.561), ("grip_down_2", 5.917)])
def test_grip_is_set_to_a_multiple_of_the_nominal_force(observe, name, newton):
    corrected = apply_correction(index(name), chunk_of([0.0, 0.0, 0.0], grip=-0.6), observe())
    assert (-40.0 * corrected[0, 0, 6]).item() == pytest.approx(newton, abs=1e-2)
    again = apply_correction(index(name), corrected, observe())
    assert torch.equal(again, corrected)


def test_grip_leaves_opening_and_holding_commands_alone(observe):
    chunk = chunk_of([0.0, 0.0, 0.0])
    chunk[0, :, 6] = torch.tensor([0.25, 0.5, 0.01, -0.01, 0.0, 1.0, 0.25, 0.25])
    assert torch.equal(apply_correction(index("grip_up_3"), chunk, observe()), chunk)


def test_slower_scales_displacements_and_turns_but_not_the_grip(observe):
    chunk = torch.ones(1, 8, 7)
    corrected = apply_correction(index("slower"), chunk, observe())
    torch.testing.assert_close(corrected[..., :6], torch.full((1, 8, 6), 0.8))
    assert torch.equal(corrected[..., 6], chunk[..., 6])


@pytest.mark.parametrize(("name", "offset"), [("lift_5cm", 0.05), ("lift_10cm", 0.10), ("lift_15cm", 0.15)])
def test_a_lift_rises_first_and_then_moves_on_at_its_height(carry, name, offset):
    o = carry((0.5, -0.1, 0.145))
    chunk = chunk_of([0.0, V, 0.0], horizon=16)
    points = path(o, apply_correction(index(name), chunk, o))
    height = REST_M + NOMINAL_CLEARANCE_M + offset
    assert points[:, 2].max().item() == pytest.approx(height, abs=1e-6)
    low = points[:, 2] < height - 0.02
    assert torch.equal(points[low, 1], torch.full((int(low.sum()),), -0.1))
    assert points[-1, 1] > 0.0
    steps = torch.cat([o.ee_target_pos_b, points]).diff(dim=0).norm(dim=1)
    assert steps.max().item() <= V + 1e-6


def test_a_lift_never_brings_a_higher_carry_down(carry):
    o = carry((0.5, -0.1, 0.30))
    chunk = chunk_of([0.0, V, 0.0])
    torch.testing.assert_close(apply_correction(index("lift_5cm"), chunk, o), chunk)


def test_a_lift_holds_its_height_against_a_policy_that_wants_down_and_still_moves_on(carry):
    o = carry((0.5, -0.1, 0.245))
    points = path(o, apply_correction(index("lift_10cm"), chunk_of([0.0, 0.0, -V]), o))
    torch.testing.assert_close(points[:, 2], torch.full((8,), 0.245))
    assert points[-1, 1].item() == pytest.approx(-0.1 + 8 * V, abs=1e-5)


def test_staying_low_moves_to_the_goal_just_above_the_table(carry):
    o = carry((0.5, -0.27, REST_M))
    lifting = chunk_of([0.0, 0.0, V], horizon=16)
    points = path(o, apply_correction(index("stay_low"), lifting, o))
    torch.testing.assert_close(points[4:, 2], torch.full((12,), REST_M + LOW_CLEARANCE_M))
    assert points[-1, 1] > -0.27 + 10 * V
    torch.testing.assert_close(points[:, 0], torch.full((16,), 0.5))


@pytest.mark.parametrize("name", ["lift_10cm", "stay_low", "detour_plus"])
def test_routes_leave_the_approach_alone(observe, name):
    chunk = chunk_of([0.0, 0.0, -V], grip=NOMINAL_GRIP)
    assert torch.equal(apply_correction(index(name), chunk, observe()), chunk)


@pytest.mark.parametrize("name", ["lift_10cm", "stay_low", "detour_plus"])
def test_routes_leave_a_grasp_alone_until_the_policy_lifts(carry, name):
    o = carry((0.5, -0.27, REST_M))
    closing = chunk_of([0.0, 0.0, 0.0])
    assert torch.equal(apply_correction(index(name), closing, o), closing)


@pytest.mark.parametrize("name", ["lift_10cm", "stay_low", "detour_plus"])
def test_routes_leave_the_placing_alone(carry, name):
    o = carry((0.5, 0.17, 0.145))
    chunk = chunk_of([0.0, 0.0, -V])
    assert torch.equal(apply_correction(index(name), chunk, o), chunk)


@pytest.mark.parametrize(("name", "side"), [("detour_plus", 1.0), ("detour_minus", -1.0)])
def test_a_detour_passes_beside_the_straight_way_and_returns(carry, name, side):
    pos = torch.tensor([0.5, -0.27, 0.145])
    track = []
    for _ in range(30):
        o = carry(tuple(pos.tolist()))
        to_goal = o.goal_pos_b[0, :2] - pos[:2]
        delta = torch.cat([V * to_goal / to_goal.norm().clamp(min=V), torch.zeros(1)])
        pos = path(o, apply_correction(index(name), chunk_of(delta.tolist()), o))[3]
        track.append(pos)
    track = torch.stack(track)
    # The hand is 0.2 m wide: aside well before what stands in the middle (y = -0.03), and until well past it.
    middle = (track[:, 1] > -0.20) & (track[:, 1] < 0.09)
    assert middle.sum() >= 3
    assert (side * (track[middle, 0] - 0.5)).min() > 0.14
    assert (track[:, :2] - torch.tensor([0.5, 0.22])).norm(dim=1).min() < 0.03
    torch.testing.assert_close(track[:, 2], torch.full((30,), 0.145))


def test_candidates_that_act_on_the_observation_alone_leave_every_chunk_alone(carry):
    o = carry((0.5, -0.1, 0.145))
    chunk = torch.randn(1, 8, 7, generator=torch.Generator().manual_seed(0))
    seen = [c.name for c in CANDIDATES if c.corrects_observation and not c.corrects_chunks]
    whole = ["object_plus", "object_minus", "goal_plus", "goal_minus", "grasp_plus", "grasp_minus"]
    assert seen == [*whole, "goal_plus_half", "goal_minus_half"]
    for name in seen:
        assert torch.equal(apply_correction(index(name), chunk, o), chunk)


def test_a_firm_grasp_elsewhere_presses_as_the_firmest_grip_and_changes_nothing_else(carry):
    o, chunk = carry((0.5, -0.1, 0.145)), torch.full((1, 8, 7), -0.25)
    firm = apply_correction(index("grasp_plus_firm"), chunk, o)
    assert torch.equal(firm, apply_correction(index("grip_up_4"), chunk, o))
    names = ("grasp_plus_firm", "grasp_plus", "grip_up_4", "lift_5cm", "none")
    acts = corrects_chunks(torch.cat([index(name) for name in names]))
    assert acts.tolist() == [True, False, True, True, False]
