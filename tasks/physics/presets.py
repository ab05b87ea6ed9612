"""Physics presets by name, for ``physics=NAME`` on any Isaac Lab command line and for code."""

from __future__ import annotations

import importlib.util

import torch
from isaaclab.physics import PhysicsCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import NewtonCfg
from isaaclab_physx.physics import PhysxCfg
from isaaclab_tasks.utils import PresetCfg

from flow_rag_vla.tasks.facts.contact_parameters import CONE, IMPRATIO, NUM_SUBSTEPS
from flow_rag_vla.tasks.physics.managers import NativeSolverCfg, SensingSolverCfg

_HAND = r"_panda_(hand|leftfinger|rightfinger)$"
_ARM = r"_panda_link[1-7]$"

CONTACT_GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "left_finger": ((r"_panda_leftfinger$", r"_Object$"),),
    "right_finger": ((r"_panda_rightfinger$", r"_Object$"),),
    "hand": (
        (_HAND, r"_Obstacle$"),
        (_HAND, r"/(Table|BinNear|BinFar|BinLeft|BinRight)/"),
        (_HAND, r"_Base$"),
        (r"_panda_hand$", r"_Object$"),
    ),
    "links": ((_ARM, r"_Obstacle$"),),
    "obstacle": ((_HAND, r"_Obstacle$"), (_ARM, r"_Obstacle$"), (r"_Object$", r"_Obstacle$")),
}
"""Force on each finger by the object; on hand and fingers by what stands around, and on the palm by the object;
on the arm by the obstacle; and by the obstacle on robot and object together."""

DEPTH_GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "pads": (
        (r"_panda_leftfinger$", r"_Object$"),
        (r"_panda_rightfinger$", r"_Object$"),
        (r"_panda_leftfinger$", r"_Base$"),
        (r"_panda_rightfinger$", r"_Base$"),
    ),
}
"""How deep both finger pads together sink into the object, and into the cube on which it is stacked."""

_SOLVER = {
    "solver": "newton",
    "integrator": "implicitfast",
    "cone": CONE,
    "iterations": 20,
    # Fewer make MuJoCo Warp print thousands of lines, and cost the same.
    "ls_iterations": 50,
    "tolerance": 1e-6,
    "impratio": IMPRATIO,
    "use_mujoco_contacts": True,
    "contact_groups": CONTACT_GROUPS,
    "depth_groups": DEPTH_GROUPS,
}


def newton_mujoco() -> NewtonCfg:
    """Native MuJoCo, all CPU cores."""
    return NewtonCfg(solver_cfg=NativeSolverCfg(njmax=100, nconmax=32, **_SOLVER), num_substeps=NUM_SUBSTEPS)


def newton_mjwarp() -> NewtonCfg:
    """MuJoCo Warp: CUDA, and the reference on CPU."""
    # Larger buffers cost time: 300/100 takes 60 % more than 80/24.
    return NewtonCfg(solver_cfg=SensingSolverCfg(njmax=100, nconmax=32, **_SOLVER), num_substeps=NUM_SUBSTEPS)


def isaacsim_physx() -> PhysxCfg:
    """PhysX of Isaac Sim; untested, and without contact groups.

    Raises:
        ValueError: Isaac Sim is not installed.
    """
    if importlib.util.find_spec("isaacsim") is None:
        raise ValueError("physics preset isaacsim_physx needs Isaac Sim, which is not installed")
    return PhysxCfg()


_PRESETS = {"newton_mujoco": newton_mujoco, "newton_mjwarp": newton_mjwarp, "isaacsim_physx": isaacsim_physx}


def default_physics(device: str) -> str:
    """Name of the preset for ``device``: MuJoCo Warp on CUDA, native MuJoCo elsewhere."""
    return "newton_mjwarp" if device.startswith("cuda") else "newton_mujoco"


def physics_cfg(name: str | None = None, device: str = "cpu") -> PhysicsCfg:
    """Physics configuration ``name`` (default: the one for ``device``), to be stepped with ``CONTROL_STEP_S``.

    Raises:
        ValueError: unknown name, its simulator is not installed, or it does not run on ``device``.
    """
    name = name or default_physics(device)
    if name not in _PRESETS:
        raise ValueError(f"unknown physics preset {name!r}; available: {', '.join(_PRESETS)}")
    if name == "newton_mujoco" and device.startswith("cuda"):
        raise ValueError(f"physics preset {name!r} runs on the CPU, got device {device!r}; there it is newton_mjwarp")
    return _PRESETS[name]()


@configclass
class PhysicsPresetCfg(PresetCfg):
    """What ``physics=NAME`` on the command line chooses from."""

    default: PhysicsCfg = physics_cfg(device="cuda" if torch.cuda.is_available() else "cpu")
    newton_mujoco: PhysicsCfg = newton_mujoco()
    newton_mjwarp: PhysicsCfg = newton_mjwarp()
    isaacsim_physx: PhysicsCfg = PhysxCfg()


def require_physics(name: str, device: str = "cpu") -> None:
    """Check that the preset ``name`` can be built here for ``device``; ``physics_cfg`` without the result.

    Raises:
        ValueError: as ``physics_cfg``.
    """
    physics_cfg(name, device)
