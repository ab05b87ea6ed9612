"""The native solver against MuJoCo Warp and against itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.env.validity import OUTSIDE_PHYSICS

pytestmark = pytest.mark.sim

POST = torch.tensor([0.42, 0.12, 0.20])
PRESETS = ("newton_mujoco", "newton_mjwarp")
SWING = 30
"""Control step from which the arm swings: the hand has closed by then and presses with 10 N."""


def reasons(rig) -> list[str | None]:
    """Why the physics of each environment cannot be trusted."""
    return [None if i < 0 else INVALID_REASONS[i] for i in rig.contacts.invalid_reason().tolist()]


def running_solver() -> Any:
    """The solver of the one simulation that this process holds."""
    from isaaclab_newton.physics.newton_manager import NewtonManager

    return NewtonManager._solver


def squeeze_and_crash(rig, steps: int = SWING + 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grasp the cube in mid-air, then swing it into a post.

    Returns:
        States (steps, num_envs, 16), finger forces (num_envs, 2) before the swing and the peak force on the post.
    """
    rig.place(rig.obstacle, POST)
    tip, orientation = rig.fingertips()
    speed = torch.linspace(0.04, 0.06, 4).repeat(rig.num_envs)[: rig.num_envs]
    squeeze = torch.zeros(rig.num_envs, 2)
    peak = torch.zeros(rig.num_envs)
    states = []
    for t in range(steps):
        if t < SWING - 4:
            rig.place(rig.object, tip, orientation)
        if t == SWING:
            forces = rig.contacts.read()
            squeeze = torch.stack([forces[f"{side}_finger"].norm(dim=1) for side in ("left", "right")], dim=1)
        if t >= SWING:
            rig.arm_target[:, 0] += speed
        rig.step(-0.25)
        peak = torch.maximum(peak, rig.contacts.read()["obstacle"].norm(dim=1))
        states.append(rig.state())
    return torch.stack(states), squeeze, peak


def test_native_and_warp_agree_on_a_grasp_and_a_crash(make_rig: Callable) -> None:
    native, warp = (squeeze_and_crash(make_rig(name)) for name in PRESETS)
    difference = (native[0] - warp[0]).abs()
    assert difference[:SWING].max() < 1e-5  # closing and holding
    # Jerked away with the cube: contact manifolds of boxes differ between the two (rad for joints, m for the cube).
    assert difference[SWING:, :, :12].max() < 8e-3
    assert native[1] == pytest.approx(warp[1], rel=0.01)
    assert native[1] == pytest.approx(torch.full((4, 2), 10.0), rel=0.02)
    assert native[2].min() > 100.0
    assert native[2] == pytest.approx(warp[2], rel=0.05)


def test_a_run_does_not_depend_on_repetition_threads_or_the_number_of_environments(
    make_rig: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = squeeze_and_crash(make_rig())[0]
    monkeypatch.setenv("FLOW_RAG_VLA_PHYSICS_THREADS", "1")
    again = squeeze_and_crash(make_rig())[0]
    monkeypatch.setenv("FLOW_RAG_VLA_PHYSICS_THREADS", "3")
    among_more = squeeze_and_crash(make_rig(num_envs=12))[0]
    assert torch.equal(first, again)
    assert torch.equal(first, among_more[:, :4])


def test_an_environment_does_not_feel_its_neighbours(make_rig: Callable) -> None:
    def run(nudge: float) -> torch.Tensor:
        rig = make_rig()
        rig.arm_target[2:, 0] += nudge
        for _ in range(8):
            rig.step(1.0)
        return rig.state()

    still, nudged = run(0.0), run(0.3)
    assert torch.equal(still[:2], nudged[:2])
    assert not torch.equal(still[2:], nudged[2:])


def test_a_rewritten_environment_replays_its_episode_while_the_others_go_on(make_rig: Callable) -> None:
    rig = make_rig()
    start = rig.joint_pos
    object_pose = rig.object.data.root_pose_w.torch.clone()
    ids = torch.tensor([1, 3], dtype=torch.int32)

    def swing(steps: int) -> None:
        for _ in range(steps):
            rig.arm_target[:, 0] += 0.02
            rig.step(1.0)

    home = rig.arm_target.clone()
    swing(6)
    first = rig.state()
    rig.robot.write_joint_position_to_sim_index(position=start[ids.long()], env_ids=ids)
    rig.robot.write_joint_velocity_to_sim_index(velocity=torch.zeros(2, 9), env_ids=ids)
    rig.object.write_root_pose_to_sim_index(root_pose=object_pose[ids.long()], env_ids=ids)
    rig.object.write_root_velocity_to_sim_index(root_velocity=torch.zeros(2, 6), env_ids=ids)
    rig.arm_target[ids.long()] = home[ids.long()]
    swing(6)
    assert torch.equal(rig.state()[ids.long()], first[ids.long()])
    assert not torch.equal(rig.state()[0], first[0])


@pytest.mark.parametrize("physics", PRESETS)
def test_a_grown_box_collides_like_one_built_at_that_size(make_rig: Callable, physics: str) -> None:
    from flow_rag_vla.tasks.physics.properties import set_box_half_extents

    size = (0.32, 0.04, 0.30)
    built = squeeze_and_crash(make_rig(physics, 2, size))[2]
    rig = make_rig(physics, 2, (0.04, 0.04, 0.04))
    set_box_half_extents(rig.obstacle, torch.arange(2), torch.tensor(size).repeat(2, 1) / 2)
    grown = squeeze_and_crash(rig)[2]
    assert grown.min() > 100.0
    assert grown == pytest.approx(built, rel=1e-3)


@pytest.mark.parametrize("physics", PRESETS)
def test_changed_mass_and_friction_decide_whether_the_cube_is_held(make_rig: Callable, physics: str) -> None:
    from flow_rag_vla.tasks.physics.properties import set_friction, set_mass

    rig = make_rig(physics)
    set_friction(rig.object, torch.tensor([1, 3]), torch.tensor([0.03, 1.0]))
    set_mass(rig.object, torch.tensor([2]), torch.tensor([6.0]), torch.full((1, 3), 0.05**2 / 6.0))
    tip, orientation = rig.fingertips()
    for t in range(24):
        if t < 12:
            rig.place(rig.object, tip, orientation)
        rig.step(-0.25)
    fallen = rig.object.data.root_pos_w.torch[:, 2] < tip[:, 2] - 0.02
    assert fallen.tolist() == [False, True, True, False]


@pytest.mark.parametrize("physics", PRESETS)
def test_a_non_finite_environment_is_invalid_and_alone(make_rig: Callable, physics: str) -> None:
    rig = make_rig(physics)
    rig.step(1.0)
    assert (rig.contacts.invalid_reason() == -1).all()
    broken = rig.joint_pos
    broken[1, 0] = float("nan")
    rig.robot.write_joint_position_to_sim_index(position=broken)
    rig.step(1.0)
    assert reasons(rig) == [None, "non_finite_state", None, None]
    assert torch.isfinite(rig.joint_pos[[0, 2, 3]]).all()


@pytest.mark.parametrize("physics", PRESETS)
def test_a_body_that_flies_off_is_a_runaway_and_alone(make_rig: Callable, physics: str) -> None:
    rig = make_rig(physics)
    velocity = torch.zeros(4, 6)
    velocity[2, 2] = 5.0e3
    rig.object.write_root_velocity_to_sim_index(root_velocity=velocity)
    rig.step(1.0)
    assert reasons(rig) == [None, None, "runaway_speed", None]


@pytest.mark.parametrize(
    ("buffer", "room", "reason", "advice"),
    [
        ("njmax", 4, "constraint_overflow", "raise njmax (4) of physics preset newton_mjwarp"),
        ("naconmax", 4, "contact_overflow", "raise nconmax (1) of physics preset newton_mjwarp"),
    ],
)
def test_a_warp_buffer_that_is_too_small_makes_environments_invalid_and_is_named(
    make_rig: Callable, buffer: str, room: int, reason: str, advice: str
) -> None:
    rig = make_rig("newton_mjwarp")
    rig.place(rig.object, torch.tensor([0.5, -0.3, 0.024]))
    # Room for less than the cubes on their tables need.
    setattr(running_solver().mjw_data, buffer, room)
    rig.step(1.0)
    assert reasons(rig) == [reason] * 4
    assert advice in rig.contacts.explain(InvalidReason(reason))


def test_a_native_rollout_that_mujoco_stopped_makes_its_environment_invalid(make_rig: Callable) -> None:
    # Really running out of memory (45 kB with a hand inside a box do it) may also crash the process.
    rig = make_rig()
    rig.step(1.0)
    assert reasons(rig) == [None] * 4
    running_solver()._states[1, -1, 0] = 1 / 120
    assert reasons(rig) == [None, "memory_overflow", None, None]
    assert "raise memory_bytes" in rig.contacts.explain(InvalidReason.MEMORY_OVERFLOW)


@pytest.mark.parametrize("physics", PRESETS)
def test_every_reason_to_call_physics_invalid_names_a_setting(make_rig: Callable, physics: str) -> None:
    rig = make_rig(physics)
    for reason in set(InvalidReason) - set(OUTSIDE_PHYSICS):
        text = rig.contacts.explain(reason)
        assert "raise" in text
        assert "\n" not in text


@pytest.mark.parametrize("physics", PRESETS)
@pytest.mark.parametrize("force_n", [(5.0, 10.0, 20.0, 40.0)])
def test_the_grip_command_is_a_force_and_closing_does_not_overshoot(
    make_rig: Callable, physics: str, force_n: tuple[float, ...]
) -> None:
    rig = make_rig(physics)
    wanted = torch.tensor(force_n)
    tip, orientation = rig.fingertips()
    peak = torch.zeros(4)
    for t in range(45):
        if t < 36:
            rig.place(rig.object, tip, orientation)
        rig.step(-wanted / 40.0)
        for side in ("left", "right"):
            peak = torch.maximum(peak, rig.contacts.read()[f"{side}_finger"].norm(dim=1))
    for side in ("left", "right"):
        assert rig.contacts.last()[f"{side}_finger"].norm(dim=1) == pytest.approx(wanted, rel=0.1)
        assert rig.contacts.mean()[f"{side}_finger"].norm(dim=1) == pytest.approx(wanted, rel=0.1)
    # Of single physics steps: the fingers arrive at 50 mm/s.
    assert (peak < wanted + 3.0).all()
    # What the cube is wider than the hand is open is how deep both pads sink in together.
    depth_m = rig.contacts.depths()["pads"]
    assert depth_m == pytest.approx(0.05 - rig.joint_pos[:, rig.finger_ids].sum(dim=1), abs=1e-4)
    assert depth_m.tolist() == sorted(depth_m.tolist())
    assert 1e-4 < depth_m[0] < depth_m[3] < 1.5e-3


@pytest.mark.parametrize("physics", PRESETS)
def test_the_fingers_keep_to_their_limits_whatever_the_force(make_rig: Callable, physics: str) -> None:
    rig = make_rig(physics)
    opening = []
    for t in range(90):
        rig.step(-1.0 if t < 45 else 1.0)
        opening.append(rig.joint_pos[:, rig.finger_ids])
    fingers = torch.stack(opening)
    assert fingers[44].sum(dim=1).max() < 1e-3
    assert fingers[89].sum(dim=1).min() > 0.079
    assert fingers.min() > -5e-4
    assert fingers.max() < 0.0405


@pytest.mark.parametrize("physics", PRESETS)
@pytest.mark.parametrize("name", ["cube", "bar"])
def test_a_slippery_object_is_held_by_friction_and_not_by_sunken_pads(
    make_rig: Callable, physics: str, name: str
) -> None:
    from flow_rag_vla.tasks.facts.objects import get_object
    from flow_rag_vla.tasks.physics.properties import set_friction, set_mass, set_shape

    rig, force_n, friction = make_rig(physics), 30.0, 0.2
    ids = torch.arange(4)
    set_shape(rig.object, ids, [get_object(name)] * 4)
    set_friction(rig.object, ids, torch.full((4,), friction))
    # Of the mass at which statics says that the pads slip.
    mass = torch.tensor([0.5, 0.85, 1.15, 1.5]) * 2 * friction * force_n / 9.81
    set_mass(rig.object, ids, mass, mass.unsqueeze(1) * 0.05**2 / 6.0)
    tip, orientation = rig.fingertips()
    deepest, opening = torch.zeros(4), []
    for t in range(75):
        if t < 30:
            rig.place(rig.object, tip, orientation)
        rig.step(-force_n / 40.0)
        if t >= 30:
            deepest = torch.maximum(deepest, rig.contacts.depths()["pads"])
        if t >= 45:
            opening.append(rig.joint_pos[:2, rig.finger_ids].sum(dim=1))
    fallen = rig.object.data.root_pos_w.torch[:, 2] < tip[:, 2] - 0.02
    assert fallen.tolist() == [False, False, True, True]
    assert deepest[:2].max() < 2e-3
    # The fingers do not swing while they hold.
    held = torch.stack(opening)
    assert (held.amax(dim=0) - held.amin(dim=0)).max() < 3e-4
