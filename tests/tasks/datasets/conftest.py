"""Hand-made trajectories whose every number tells where it belongs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flow_rag_vla.tasks.contract import FailureType
from flow_rag_vla.tasks.datasets.trajectory import NO_FAILURE, EpisodeLabels, Trajectory

INSTRUCTION = "pick up the cube"


def counted(num_steps: int, width: int, start: float) -> np.ndarray:
    """(num_steps, width) with ``start + 10 * step + column``."""
    return (start + 10 * np.arange(num_steps)[:, None] + np.arange(width)).astype(np.float32)


def hand_made(
    num_steps: int = 3, *, failure: str = NO_FAILURE, start: float = 0.0, text: str = INSTRUCTION
) -> Trajectory:
    """An episode of ``num_steps`` that failed by ``failure``, if by anything."""
    failed = failure != NO_FAILURE
    states = {"articulation/robot/joint_position": 9, "rigid_object/object/root_pose": 7}
    return Trajectory(
        observations={
            "joint_pos": counted(num_steps, 7, start),
            "gripper_width_m": counted(num_steps, 1, start + 0.5),
            "object_pos_b": counted(num_steps, 3, start + 100),
        },
        actions=counted(num_steps, 7, start + 200),
        initial_state={path: counted(1, width, start + 300) for path, width in states.items()},
        states={path: counted(num_steps, width, start + 400) for path, width in states.items()},
        instruction=text,
        labels=EpisodeLabels(
            scenario_id=f"scenario-{start:g}",
            task="FlowRAG-PickPlace-Franka",
            site=3,
            layout_seed=int(start),
            fault="post" if failed else NO_FAILURE,
            fault_class="avoidable" if failed else "clean",
            severity=0.25 if failed else 0.0,
            success=not failed,
            fault_fired=failed,
            failure_type=failure,
            failure_phase="carry" if failed else NO_FAILURE,
            failure_step=1 if failed else -1,
        ),
    )


@pytest.fixture
def make_trajectory() -> Callable[..., Trajectory]:
    """``make_trajectory(num_steps, failure=..., start=..., text=...)``."""
    return hand_made


@pytest.fixture
def episodes() -> list[Trajectory]:
    """A success of three steps and a collision of two."""
    return [hand_made(3), hand_made(2, failure=FailureType.COLLISION, start=1000.0)]
