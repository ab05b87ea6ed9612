"""Pick-and-place: take the cube from the pick side of the table and put it down on the goal.

Success: the cube rests within 3 cm of the goal at table height, let go and whole.  A collision ends the episode;
a lost or missed grasp does not, the policy may try again until the time limit.
"""

from __future__ import annotations

from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass

from flow_rag_vla.tasks.device import default_device
from flow_rag_vla.tasks.manipulation_env import ManipulationEnv, ManipulationEnvCfg
from flow_rag_vla.tasks.physics.presets import CONTROL_STEP_S, PhysicsPresetCfg

INSTRUCTIONS: tuple[str, ...] = (
    "pick up the cube and place it on the goal",
    "move the cube to the goal",
    "put the cube down at the marked spot",
)
"""Wordings of the same task."""


@configclass
class PickPlaceEnvCfg(ManipulationEnvCfg):
    """200 control steps of 1/30 s."""

    task_name = "FlowRAG-PickPlace-Franka"
    instruction = INSTRUCTIONS[0]
    episode_length_s = 200 * CONTROL_STEP_S
    sim: SimulationCfg = SimulationCfg(
        dt=CONTROL_STEP_S,
        render_interval=1,
        device=default_device(),
        physics=PhysicsPresetCfg(),  # pyright: ignore[reportArgumentType] (Isaac Lab resolves presets)
    )


class PickPlaceEnv(ManipulationEnv):
    """Franka pick-and-place; everything that it needs is in its configuration."""
