"""Hazards at work on hand-made states: when they begin and end, and what they do to commands and percepts."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from flow_rag_vla.tasks.catalogue.bin_transport import BIN_WALL_HEIGHT_M, BIN_X_M, BIN_Y_M
from flow_rag_vla.tasks.contract import NOMINAL_GRIP, PHASES
from flow_rag_vla.tasks.faults.definition.parameters import HAZARD_FIELDS, MAX_LATENCY_STEPS, default_of
from flow_rag_vla.tasks.hazards import object_hazards
from flow_rag_vla.tasks.hazards.actuation import ActuationHazards
from flow_rag_vla.tasks.hazards.forces import at_fingertips, grip_in_effect, push_object
from flow_rag_vla.tasks.hazards.perception import perceived_goal, perceived_object
from flow_rag_vla.tasks.hazards.state import CARRIED_HEIGHT_M, HazardState
from flow_rag_vla.tasks.scenarios.sites import make_site

ZONE = (-0.1, 0.1)
REST_M = 0.025
PUSH = {"push_force_n": 26.0, "push_steps": 6.0}
RELEASE = {"release_steps": 8.0, "release_count": 2.0}
HOLD = {"hold_steps": 5.0}
CLEAN = make_site(1, "pick_place").scenario(4)


def loaded(*parameters: dict[str, float]) -> HazardState:
    """One environment for each set of parameters."""
    state = HazardState(len(parameters), "cpu")
    scenarios = [dataclasses.replace(CLEAN, parameters=p) for p in parameters]
    state.reset(torch.arange(len(parameters)), scenarios, ZONE)
    return state


class Told:
    """Environments with ``parameters``, told step by step where their object is."""

    def __init__(self, *parameters: dict[str, float]) -> None:
        self.state = loaded(*parameters)

    def at(
        self, step: int, *, y: float = 0.0, height: float = 0.12, held: bool = True, phase: str = "carry"
    ) -> list[int]:
        """The steps at which effects began, once it is ``step`` with the object there."""
        n = len(self.state.trigger_step)
        self.state.trigger(
            object_pos_b=torch.tensor([[0.5, y, REST_M + height]] * n),
            rest_height_m=torch.full((n,), REST_M),
            held=torch.full((n,), held),
            phase=torch.full((n,), PHASES.index(phase)),
            step=torch.full((n,), step),
        )
        return self.state.trigger_step.tolist()


def steps(*values: int) -> torch.Tensor:
    return torch.tensor(values)


def test_a_scenario_without_parameters_is_harmless():
    state = loaded({}, {"object_mass_kg": 0.5})
    for name in HAZARD_FIELDS:
        assert state.value[name][0].item() == pytest.approx(default_of(name))
    assert state.value["object_mass_kg"].tolist() == [0.0, 0.5]
    assert state.latent.tolist() == [False, True]


@pytest.mark.parametrize("parameters", [PUSH, RELEASE, HOLD, {"post_top_m": 0.17}, {"crush_force_n": 9.0}])
def test_what_shows_itself_in_an_event_is_not_latent(parameters: dict[str, float]):
    assert loaded(parameters).latent.tolist() == [False]


def test_a_reset_of_one_environment_leaves_the_others_alone():
    told = Told(PUSH, PUSH)
    assert told.at(7) == [7, 7]
    told.state.reset(torch.tensor([1]), [dataclasses.replace(CLEAN, parameters=HOLD)], ZONE)
    assert told.state.trigger_step.tolist() == [7, -1]
    assert told.state.value["push_force_n"].tolist() == [26.0, 0.0]
    assert told.state.value["hold_steps"].tolist() == [0.0, 5.0]


def test_a_push_needs_the_object_in_the_hand_off_the_table_and_in_the_zone():
    told = Told(PUSH)
    assert told.at(1, held=False) == [-1]
    assert told.at(2, height=CARRIED_HEIGHT_M - 0.001) == [-1]
    assert told.at(3, y=ZONE[0] - 0.001) == [-1]
    assert told.at(4, y=ZONE[1] + 0.001) == [-1]
    assert told.at(5, y=ZONE[1] - 0.001, height=CARRIED_HEIGHT_M + 0.001) == [5]


def test_a_region_of_its_own_takes_the_place_of_the_carry_zone():
    told = Told({**PUSH, "trigger_y_low_m": 0.2, "trigger_y_high_m": 0.3})
    assert told.at(1, y=0.0) == [-1]
    assert told.at(2, y=0.25) == [2]


@pytest.mark.parametrize("effect", [PUSH, RELEASE, HOLD])
def test_phase_and_step_must_both_be_met(effect: dict[str, float]):
    told = Told({**effect, "trigger_phase": float(PHASES.index("carry")), "trigger_step": 40.0})
    assert told.at(39) == [-1]
    assert told.at(40, phase="place") == [-1]
    assert told.at(41) == [41]


def test_a_hold_begins_without_an_object_wherever_it_is():
    assert Told(HOLD).at(1, y=0.9, height=0.0, held=False, phase="approach") == [1]


@pytest.mark.parametrize("effect", [HOLD, {"speed_scale": 0.2}])
def test_a_hold_or_slowness_with_a_region_waits_for_the_object_to_be_there_held_or_not(effect: dict[str, float]):
    told = Told({**effect, "trigger_y_low_m": 0.2, "trigger_y_high_m": 0.3})
    assert told.at(1, y=0.0) == [-1]
    assert told.at(2, y=0.25, height=0.0, held=False, phase="approach") == [2]


def test_an_effect_that_has_begun_does_not_begin_again_while_the_object_is_carried():
    told = Told(PUSH, RELEASE, HOLD)
    assert told.at(3) == [3, 3, 3]
    assert told.at(60) == [3, 3, 3]


def test_a_push_comes_again_with_every_carry():
    told = Told(PUSH)
    for first in (10, 60, 110):
        assert told.at(first) == [first]
        assert told.at(first + 20, height=0.0, held=False) == [-1]


def test_a_push_does_not_come_again_where_the_object_never_left_the_hand_or_never_reached_the_table():
    told = Told(PUSH)
    assert told.at(10) == [10]
    assert told.at(30, height=0.0, held=True) == [10]
    assert told.at(31, height=CARRIED_HEIGHT_M / 2, held=False) == [10]


def test_a_release_comes_as_often_as_its_count_and_a_control_never():
    told = Told(RELEASE, {**RELEASE, "release_count": 1.0}, {**RELEASE, "release_count": 0.0})
    assert told.at(10) == [10, 10, -1]
    assert told.at(30, height=0.0, held=False) == [-1, 10, -1]
    assert told.at(60) == [60, 10, -1]
    assert told.at(80, height=0.0, held=False) == [60, 10, -1]
    assert told.at(110) == [60, 10, -1]


def test_a_hold_comes_once():
    told = Told(HOLD)
    assert told.at(10) == [10]
    assert told.at(30, height=0.0, held=False) == [10]
    assert told.at(60) == [10]


def test_an_effect_lasts_its_duration_from_the_step_that_triggered_it():
    told = Told(PUSH)
    told.at(10)
    active = [bool(told.state.active("push_steps", steps(step))) for step in range(9, 18)]
    assert active == [True] * 7 + [False] * 2
    assert not bool(loaded(PUSH).active("push_steps", steps(0)))


def test_a_push_presses_held_objects_down_in_the_world_and_lets_fallen_ones_lie():
    wrenches: list[dict[str, Any]] = []
    composer = SimpleNamespace(add_forces_and_torques_index=lambda **wrench: wrenches.append(wrench))
    body = cast("Any", SimpleNamespace(instantaneous_wrench_composer=composer))
    told = Told(PUSH, {**PUSH, "push_side_n": 3.0}, {}, PUSH)
    told.at(10)
    held = torch.tensor([True, True, True, False])
    assert push_object(body, told.state, steps(12, 12, 12, 12), held).tolist() == [True, True, False, False]
    assert wrenches[0]["forces"][:, 0].tolist() == [[0, 0, -26.0], [3.0, 0, -26.0], [0, 0, 0], [0, 0, 0]]
    assert not wrenches[0]["torques"].any()
    assert wrenches[0]["is_global"]
    assert not push_object(body, told.state, steps(16, 16, 16, 16), held).any()
    assert not wrenches[1]["forces"].any()


def test_an_object_is_at_the_fingertips_whichever_end_of_it_they_hold():
    bar = torch.tensor([0.14, 0.04, 0.04])
    quarter_turn = torch.tensor([0.0, 0.0, 2**-0.5, 2**-0.5])
    upright = torch.tensor([0.0, 0.0, 0.0, 1.0])
    centre = torch.tensor([0.5, 0.0, 0.2])
    cases = [
        (upright, (0.0, 0.0, 0.0), True),
        (upright, (0.06, 0.0, 0.0), True),
        (upright, (0.085, 0.0, 0.0), True),
        (upright, (0.095, 0.0, 0.0), False),
        (upright, (0.0, 0.06, 0.0), False),
        (quarter_turn, (0.0, 0.06, 0.0), True),
        (quarter_turn, (0.06, 0.0, 0.0), False),
        (upright, (0.0, 0.0, 0.039), True),
        (upright, (0.0, 0.0, 0.041), False),
    ]
    for quat, offset, expected in cases:
        tip = centre + torch.tensor(offset)
        rows = (row.unsqueeze(0) for row in (tip, centre, quat, bar))
        assert at_fingertips(*rows).tolist() == [expected], (quat, offset)


def test_an_object_breaks_once_by_what_squeezes_it(monkeypatch):
    frictions: list[tuple] = []
    monkeypatch.setattr(object_hazards, "set_friction", lambda body, ids, mu: frictions.append((ids.tolist(), mu)))
    hazards = object_hazards.ObjectHazards(cast("Any", None), loaded(*[{"crush_force_n": 9.0}] * 3, {}))
    fingers_n = torch.zeros(4, 2, 3)
    fingers_n[0, 1, :2] = torch.tensor([6.0, -7.0])
    fingers_n[1, :, 2] = 50.0
    fingers_n[2, 0, 1] = 8.9
    fingers_n[3, 0, 1] = 50.0
    assert hazards.break_objects(fingers_n).tolist() == [True, False, False, False]
    assert not hazards.break_objects(fingers_n).any()
    assert hazards.broken.tolist() == [True, False, False, False]
    assert [(ids, mu.tolist()) for ids, mu in frictions] == [([0], pytest.approx([object_hazards.BROKEN_FRICTION]))]


def test_a_weak_grip_weakens_closing_alone_and_a_forced_release_overrules_it():
    state = loaded(*[{"grip_scale": 0.3}] * 3, {})
    grip = torch.tensor([-0.5, 0.25, -0.5, -0.5])
    forced_open = torch.tensor([False, False, True, False])
    assert grip_in_effect(grip, state, forced_open).tolist() == pytest.approx([-0.15, 0.25, 1.0, -0.5])


BIASED = {"object_bias_x_m": 0.01, "object_bias_y_m": -0.04, "object_bias_z_m": 0.02}


def test_an_object_is_perceived_beside_where_it_lies_on_the_pick_side():
    state = loaded(BIASED, BIASED, BIASED, {})
    at = torch.tensor([[0.5, -0.25, 0.025], [0.5, 0.2, 0.025], [0.5, -0.25, 0.025], [0.5, -0.25, 0.025]])
    held = torch.tensor([False, False, True, False])
    expected = at.clone()
    expected[0] = torch.tensor([0.51, -0.29, 0.045])
    torch.testing.assert_close(perceived_object(at, held, state), expected)


def test_a_goal_is_perceived_beside_where_it_is_until_the_object_has_been_let_go():
    state = loaded(*[{"goal_bias_x_m": 0.01, "goal_bias_y_m": 0.05, "goal_bias_z_m": -0.02}] * 2, {})
    goal = torch.tensor([[0.5, 0.2, 0.025]]).repeat(3, 1)
    expected = goal.clone()
    expected[0] = torch.tensor([0.51, 0.25, 0.005])
    torch.testing.assert_close(perceived_goal(goal, torch.tensor([False, True, False]), state), expected)


def commanded(step: int, n: int) -> torch.Tensor:
    """(n, 7) recognisable commands: tenths of the step, closing."""
    action = torch.full((n, 7), step / 10.0)
    action[:, 6] = -NOMINAL_GRIP
    return action


def test_a_late_arm_executes_the_command_of_so_many_steps_ago():
    delays = (0, 1, 3, MAX_LATENCY_STEPS)
    hazards = ActuationHazards(4, loaded(*({"latency_steps": float(k)} for k in delays)), "cpu")
    for step in range(1, MAX_LATENCY_STEPS + 4):
        action = commanded(step, 4)
        executed, altered = hazards.executed(action, torch.full((4,), step))
        for row, delay in enumerate(delays):
            early = step <= delay
            assert executed[row, 0].item() == pytest.approx(0.0 if early else (step - delay) / 10.0)
            assert executed[row, 6].item() == (NOMINAL_GRIP if early else -NOMINAL_GRIP)
        assert altered.tolist() == [False, True, True, True]


def test_a_reset_forgets_commands_that_have_not_arrived():
    hazards = ActuationHazards(2, loaded({"latency_steps": 1.0}, {"latency_steps": 1.0}), "cpu")
    hazards.executed(commanded(5, 2), steps(1, 1))
    hazards.reset(torch.tensor([1]))
    executed, _ = hazards.executed(commanded(6, 2), steps(2, 1))
    assert executed[:, 0].tolist() == [0.5, 0.0]
    assert executed[:, 6].tolist() == [-NOMINAL_GRIP, NOMINAL_GRIP]


def test_a_held_arm_keeps_pose_and_grip_for_as_long_as_the_hold_lasts():
    told = Told({**HOLD, "trigger_step": 40.0})
    hazards = ActuationHazards(1, told.state, "cpu")
    frozen = []
    for step in range(38, 48):
        told.at(step)
        executed, altered = hazards.executed(commanded(3, 1), steps(step))
        assert altered.item() is (not executed.any().item())
        frozen += [step] if altered else []
    assert frozen == [40, 41, 42, 43, 44]


def test_a_slow_arm_moves_a_share_of_every_command_once_triggered_and_grips_as_told():
    told = Told({"speed_scale": 0.4, "trigger_step": 10.0}, {})
    hazards = ActuationHazards(2, told.state, "cpu")
    told.at(9)
    assert torch.equal(hazards.executed(commanded(5, 2), steps(9, 9))[0], commanded(5, 2))
    told.at(10)
    executed, altered = hazards.executed(commanded(5, 2), steps(10, 10))
    assert executed[0].tolist() == pytest.approx([0.2] * 6 + [-NOMINAL_GRIP])
    assert torch.equal(executed[1], commanded(5, 2)[1])
    assert altered.tolist() == [True, False]


def box(**parameters: float) -> tuple[list[float], list[float]]:
    """Lower and upper corner of the obstacle in the lane whose middle is 0.53 m, base frame, m."""
    from flow_rag_vla.tasks.hazards.obstacles import MAX_HALF_EXTENTS_M, obstacle_boxes

    centre, half = obstacle_boxes(loaded(parameters).value, torch.tensor([0.53]), torch.tensor([0.30]))
    # Shapes can only be shrunk at run time.
    assert all(h <= most + 1e-6 for h, most in zip(half[0].tolist(), MAX_HALF_EXTENTS_M, strict=True))
    low, high = (centre - half)[0].tolist(), (centre + half)[0].tolist()
    # Float32 knows a corner to a tenth of a micrometre.
    return [round(x, 6) for x in low], [round(x, 6) for x in high]


def test_without_an_obstacle_the_box_is_out_of_reach_below_the_table():
    low, high = box()
    assert high[2] < -0.4
    assert low[1] > 1.0


@pytest.mark.parametrize("top_m", [0.04, 0.13, 0.19])
def test_a_post_stands_on_the_table_in_the_middle_of_the_lane_up_to_its_top(top_m: float):
    low, high = box(post_top_m=top_m)
    assert low == pytest.approx([0.33, -0.05, 0.001])
    assert high == pytest.approx([0.73, -0.01, top_m])


def test_a_beam_hangs_above_its_underside_and_reaches_from_the_hand_outwards():
    low, high = box(beam_bottom_m=0.325)
    assert low == pytest.approx([0.51, -0.05, 0.325])
    assert high == pytest.approx([0.83, -0.01, 0.349])


def test_walls_reach_past_the_middle_of_the_lane_from_either_side():
    low, high = box(wall_left_edge_m=0.02)
    assert low == pytest.approx([0.33, -0.05, 0.001])
    assert high == pytest.approx([0.55, -0.01, 0.30])
    low, high = box(wall_right_edge_m=0.02)
    assert low == pytest.approx([0.51, -0.05, 0.001])
    assert high == pytest.approx([0.73, -0.01, 0.30])


def test_a_wall_of_negative_reach_stops_short_of_the_middle():
    assert box(wall_left_edge_m=-0.2)[1][0] == pytest.approx(0.33)
    assert box(wall_right_edge_m=-0.2)[0][0] == pytest.approx(0.73)


def test_a_raised_rim_stands_on_the_near_wall_of_the_bin():
    low, high = box(rim_top_m=0.20)
    assert low == pytest.approx([BIN_X_M[0], BIN_Y_M[0] - 0.016, BIN_WALL_HEIGHT_M + 0.001])
    assert high == pytest.approx([BIN_X_M[1], BIN_Y_M[0], 0.201])


def test_a_step_with_hazards_never_waits_for_the_device(waits):
    """But for objects that may break: the solver is told of that from the host."""
    told = Told(PUSH, RELEASE, HOLD, {"latency_steps": 3.0, "object_bias_x_m": 0.02})
    wrenches: list[dict[str, Any]] = []
    composer = SimpleNamespace(add_forces_and_torques_index=lambda **wrench: wrenches.append(wrench))
    body = cast("Any", SimpleNamespace(instantaneous_wrench_composer=composer))
    actuation = ActuationHazards(4, told.state, "cpu")
    objects = object_hazards.ObjectHazards(cast("Any", None), told.state)
    held, step, grip = torch.ones(4, dtype=torch.bool), steps(12, 12, 12, 12), torch.full((4,), -0.25)
    pos, height, phase = torch.tensor([[0.5, 0.0, 0.2]] * 4), torch.full((4,), REST_M), steps(3, 3, 3, 3)
    with waits() as waited:
        told.state.trigger(pos, height, held, phase, step)
        actuation.executed(torch.zeros(4, 7), step)
        pushed = push_object(body, told.state, step, held)
        grip_in_effect(grip, told.state, told.state.active("release_steps", step))
        objects.break_objects(torch.full((4, 2, 3), 50.0))
        perceived_object(pos, held, told.state)
        perceived_goal(pos, held, told.state)
    assert waited == []
    assert pushed.tolist() == [True, False, False, False]
    assert len(wrenches) == 1


def test_where_no_scenario_pushes_no_wrench_is_composed():
    told = Told(HOLD, {})
    nobody = push_object(cast("Any", None), told.state, steps(12, 12), torch.ones(2, dtype=torch.bool))
    assert nobody.tolist() == [False, False]
    told.state.reset(torch.tensor([1]), [dataclasses.replace(CLEAN, parameters=PUSH)], ZONE)
    assert told.state.can_push
