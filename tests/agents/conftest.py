"""Hand-made observations of a cube on a table; one torch thread, since small matrices gain nothing from more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.tasks.contract import NOMINAL_GRIP, Observation

torch.set_num_threads(1)

INSTRUCTION = "pick up the cube"

EDGE_M = 0.05
START = (0.5, -0.27, EDGE_M / 2)
GOAL = (0.5, 0.22, EDGE_M / 2)


@pytest.fixture
def instructions() -> InstructionTable:
    """The hand-made observations' text and another task's, on two axes."""
    return InstructionTable([INSTRUCTION, "stack it"], ["PickPlace", "Stack"], torch.eye(2, INSTRUCTION_DIM))


@pytest.fixture
def observe() -> Callable[..., Observation]:
    """A maker of observations: a red cube at its start, the open hand 10 cm above, unless told otherwise.

    Every field takes a row for all environments or one row each.
    """

    def make(num_envs: int = 1, instruction: tuple[str, ...] | None = None, **changes: object) -> Observation:
        rows: dict[str, object] = {
            "joint_pos": [0.0] * 7,
            "joint_vel": [0.0] * 7,
            "ee_pos_b": [START[0], START[1], START[2] + 0.10],
            "ee_quat_b": [1.0, 0.0, 0.0, 0.0],
            "ee_target_quat_b": [1.0, 0.0, 0.0, 0.0],
            "gripper_width_m": [0.08],
            "grip_force_n": [0.0],
            "hand_force_b": [0.0] * 3,
            "link_force_b": [0.0] * 3,
            "previous_action": [0.0] * 6 + [NOMINAL_GRIP],
            "object_pos_b": list(START),
            "object_quat_b": [0.0, 0.0, 0.0, 1.0],
            "object_size_m": [EDGE_M] * 3,
            "object_rgb": [0.85, 0.15, 0.15],
            "goal_pos_b": list(GOAL),
        } | changes
        rows.setdefault("ee_target_pos_b", rows["ee_pos_b"])
        tensors = {
            name: torch.as_tensor(row, dtype=torch.float32).expand(num_envs, -1).clone() for name, row in rows.items()
        }
        return Observation(**tensors, instruction=instruction or (INSTRUCTION,) * num_envs)

    return make


@pytest.fixture
def carry(observe: Callable[..., Observation]) -> Callable[..., Observation]:
    """A maker of observations with the cube in the closed hand at ``pos``, squeezed with 10 N."""

    def make(pos: tuple[float, float, float], num_envs: int = 1, **changes: object) -> Observation:
        held: dict[str, object] = {
            "ee_pos_b": list(pos),
            "object_pos_b": list(pos),
            "gripper_width_m": [EDGE_M],
            "grip_force_n": [10.0],
            "previous_action": [0.0] * 6 + [-NOMINAL_GRIP],
        }
        return observe(num_envs, **(held | changes))

    return make
