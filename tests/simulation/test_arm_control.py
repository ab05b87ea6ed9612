"""Where the arm lets itself be commanded: down on what is on the table, and beyond its reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import torch

from flow_rag_vla.benchmark.contacts.running import load_aside
from flow_rag_vla.tasks.contract import ACTION_DIM, CONTROL_HZ, MAX_DELTA_POS_M
from flow_rag_vla.tasks.facts.contact_parameters import DESCENT_LEAD_M, NEAR_TABLE_M

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

pytestmark = pytest.mark.sim

OUTWARD = ((1.0, 0.0, 0.0), (1.0, 0.0, 0.3), (1.0, 0.4, 0.2), (0.8, -0.4, 0.4))
OUT_STEPS, STEPS = 90, 200
ASIDEWARD, ASIDE_STEPS = torch.tensor([(0.5, 0.0, 0.0), (-0.3, 0.5, 0.0), (0.2, -0.6, 0.0), (0.0, 0.0, 0.2)]), 15


@pytest.fixture(scope="module")
def fleet() -> Iterator[ManipulationEnv]:
    from flow_rag_vla.tasks.env.make import make_fleet

    env = make_fleet("lift", len(OUTWARD), physics="newton_mujoco", device="cpu", max_steps=STEPS + 1)
    yield env
    env.close()


def moved(env: ManipulationEnv, direction: Callable[[int], torch.Tensor], num_steps: int) -> list[Observation]:
    """What is sensed before and after each step with the open hand at full speed along ``direction(step)``."""
    seen = [load_aside(env, env.num_envs)]
    for step in range(num_steps):
        action = torch.zeros(env.num_envs, ACTION_DIM)
        action[:, :3] = direction(step) * MAX_DELTA_POS_M
        action[:, 6] = 1.0
        env.step(action)
        seen.append(env.observe())
    return seen


def test_a_hand_comes_down_on_the_table_slower_than_it_moves_above_it(fleet):
    down = torch.tensor([0.0, 0.0, -1.0]).expand(fleet.num_envs, 3)
    seen = moved(fleet, lambda step: ASIDEWARD if step < ASIDE_STEPS else down, 80)
    height = torch.stack([o.ee_pos_b[:, 2] for o in seen])
    target = torch.stack([o.ee_target_pos_b[:, 2] for o in seen])
    # A target is set before the step whose end is seen: against the height that the hand had then.
    lead, near = height[:-1] - target[1:], height[:-1] < NEAR_TABLE_M
    assert lead[near].max() == pytest.approx(DESCENT_LEAD_M, abs=1e-4)
    assert lead[~near].max() > DESCENT_LEAD_M + 0.005
    speed = -height.diff(dim=0) * CONTROL_HZ
    at_objects = (height[1:] > 0.02) & (height[1:] < 0.075)
    assert at_objects.any(dim=0).all()
    assert speed[at_objects].max() < 0.45 < speed.max()
    assert height[-1].max() < 0.015
    assert not fleet.done.any()


def test_an_arm_pulled_beyond_its_reach_neither_stretches_nor_falls(fleet):
    out = torch.tensor(OUTWARD)
    out = out / out.norm(dim=1, keepdim=True)
    back = -out * torch.tensor([1.0, 1.0, 0.0])
    seen = moved(fleet, lambda step: out if step < OUT_STEPS else back, STEPS)
    height = torch.stack([o.ee_pos_b[:, 2] for o in seen])
    elbow = torch.stack([o.joint_pos[:, 3] for o in seen])
    far = torch.stack([o.ee_pos_b[:, :2].norm(dim=1) for o in seen])
    assert far.amax(dim=0).min() > 0.72
    assert elbow.max() < -0.7
    assert height.diff(dim=0).min() * CONTROL_HZ > -0.4
    assert height.min() > 0.1
    assert not fleet.done.any()
