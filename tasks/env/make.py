"""Builds a fleet: a task's environment with a chosen physics preset, ready for planned scenarios."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import gymnasium as gym
import torch

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import CONTROL_HZ
from flow_rag_vla.tasks.facts.contact_parameters import MOST_SUBSTEPS
from flow_rag_vla.tasks.facts.device import default_device

if TYPE_CHECKING:
    from isaaclab.scene import InteractiveSceneCfg

    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv, ManipulationEnvCfg


def resolve_device(device: str = "auto") -> str:
    """``cuda:0`` where there is one and ``device`` is ``auto``, else ``cpu``; any other name is kept."""
    return default_device() if device == "auto" else device


def resolve_physics(physics: str, device: str) -> str:
    """The preset that ``auto`` stands for on ``device``; any other name is kept."""
    from flow_rag_vla.tasks.physics.presets import default_physics

    return default_physics(device) if physics == "auto" else physics


def make_fleet(
    task: str,
    num_envs: int,
    *,
    physics: str = "auto",
    device: str = "auto",
    max_steps: int | None = None,
    num_substeps: int | None = None,
    max_penetration_m: float | None = None,
    furnish: Callable[[InteractiveSceneCfg], None] | None = None,
    camera: bool = False,
) -> ManipulationEnv:
    """``num_envs`` environments of ``task``, which take physical actions (``contract.ACTION_DIM``).

    Args:
        task: Gym id or short name.
        num_envs: Parallel environments.
        physics: Preset name or ``auto``.
        device: ``cpu``, ``cuda:N`` or ``auto``.
        max_steps: Control steps of an episode; the task's own time limit by default.
        num_substeps: Physics steps of a control step; the preset's by default.
        max_penetration_m: Beyond this depth of the finger pads an episode is invalid; the environment's by default.
        furnish: Adds to the scene's configuration before it is built, such as a film camera.
        camera: Give every robot the camera that ``observe(images=True)`` asks.

    Raises:
        UnknownNameError: an unknown task.
        ValueError: an unknown preset, no such device, or a number of substeps that is not 1 to ``MOST_SUBSTEPS``.
    """
    name = get_task(task).name
    from flow_rag_vla.tasks.physics.presets import physics_cfg

    device = resolve_device(device)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: no CUDA device here; available: cpu")
    spec = gym.spec(name)
    cfg: ManipulationEnvCfg = _load(spec.kwargs["env_cfg_entry_point"])()
    cfg.scene.num_envs = num_envs
    cfg.action_scale = None
    cfg.sim.device = device
    cfg.sim.physics = physics_cfg(resolve_physics(physics, device), device)
    if num_substeps is not None:
        if not 1 <= num_substeps <= MOST_SUBSTEPS:
            raise ValueError(f"num_substeps is {num_substeps}, expected 1 to {MOST_SUBSTEPS}")
        cfg.sim.physics.num_substeps = num_substeps  # pyright: ignore[reportAttributeAccessIssue]
    if max_penetration_m is not None:
        cfg.max_penetration_m = max_penetration_m
    if max_steps is not None:
        cfg.episode_length_s = max_steps / CONTROL_HZ
    if furnish is not None:
        furnish(cfg.scene)
    if not isinstance(spec.entry_point, str):
        raise TypeError(f"{name} is registered with {spec.entry_point!r}, expected module:class")
    if camera:
        return _with_camera(_load(spec.entry_point), cfg)
    return _load(spec.entry_point)(cfg)


def _with_camera(env_type: type[ManipulationEnv], cfg: ManipulationEnvCfg) -> ManipulationEnv:
    from flow_rag_vla.tasks.assets.camera import FleetCamera, add_goal_marker

    # Meshes that collide with nothing are not even loaded where nobody looks.
    cfg.sim.physics.load_visual_shapes = True  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
    add_goal_marker(cfg.scene)
    env = env_type(cfg)
    env.camera = FleetCamera(env.scene.env_origins)
    return env


def _load(entry_point: str) -> type:
    module, _, name = entry_point.partition(":")
    return getattr(importlib.import_module(module), name)
