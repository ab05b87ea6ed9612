"""Environment configurations of the tasks: which scene, how long, which physics."""

from __future__ import annotations

from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass

from flow_rag_vla.tasks.catalogue import bin_transport, lift, pick_place, stack
from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnvCfg
from flow_rag_vla.tasks.env.scene import BinSceneCfg, StackSceneCfg
from flow_rag_vla.tasks.facts.device import default_device
from flow_rag_vla.tasks.physics.presets import CONTROL_STEP_S, PhysicsPresetCfg


@configclass
class PickPlaceEnvCfg(ManipulationEnvCfg):
    """Pick-and-place on the bare table."""

    task_name = pick_place.TASK.name
    episode_length_s = pick_place.TASK.max_steps * CONTROL_STEP_S
    sim: SimulationCfg = SimulationCfg(
        dt=CONTROL_STEP_S,
        render_interval=1,
        device=default_device(),
        physics=PhysicsPresetCfg(),  # pyright: ignore[reportArgumentType] (Isaac Lab resolves presets)
    )


@configclass
class LiftEnvCfg(PickPlaceEnvCfg):
    """Lifting from the bare table."""

    task_name = lift.TASK.name
    episode_length_s = lift.TASK.max_steps * CONTROL_STEP_S


@configclass
class StackEnvCfg(PickPlaceEnvCfg):
    """Stacking on a second cube."""

    task_name = stack.TASK.name
    episode_length_s = stack.TASK.max_steps * CONTROL_STEP_S
    scene = StackSceneCfg(num_envs=64, env_spacing=0.0, replicate_physics=True)


@configclass
class BinTransportEnvCfg(PickPlaceEnvCfg):
    """Transport into a bin."""

    task_name = bin_transport.TASK.name
    episode_length_s = bin_transport.TASK.max_steps * CONTROL_STEP_S
    scene = BinSceneCfg(num_envs=64, env_spacing=0.0, replicate_physics=True)
