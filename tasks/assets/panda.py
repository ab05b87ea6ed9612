"""The Franka Panda as an Isaac Lab articulation, with gains that suit MuJoCo's contact solver."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg
from isaaclab_newton.sim.schemas import MujocoRigidBodyCfg, NewtonArticulationCfg
from isaaclab_physx.sim.schemas import PhysxArticulationCfg

from flow_rag_vla.tasks.assets.cache import built_once, cache_dir
from flow_rag_vla.tasks.facts.contact_parameters import (
    ARM_ARMATURE_KG_M2,
    ARM_DAMPING_N_M_S,
    ARM_STIFFNESS_N_M,
    ARM_TORQUE_LIMITS_N_M,
    FINGER_ARMATURE_KG,
    FINGER_DAMPING_N_S_M,
    FINGER_EFFORT_LIMIT_N,
    FINGER_STIFFNESS_N_M,
    contact_digest,
)
from flow_rag_vla.tasks.physics.quiet import quiet_console

if TYPE_CHECKING:
    from pathlib import Path

RECIPE_VERSION = 2
"""Raise this when ``panda_usd`` changes what it writes; it is part of the cached file's name, as the contacts are."""

HOME_JOINT_POS: dict[str, float] = {
    "panda_joint1": 0.0,
    "panda_joint2": -0.569,
    "panda_joint3": 0.0,
    "panda_joint4": -2.81,
    "panda_joint5": 0.0,
    "panda_joint6": 2.237,
    "panda_joint7": 0.785,
    "panda_finger_joint.*": 0.04,
}
"""rad and m: hand above the middle of the table, pointing down, open."""


def panda_usd_path() -> str:
    """Path of the converted Panda; the first call on a machine builds it (about 3 s)."""
    sources = ("example-robot-data", "urdf-usd-converter")
    versions = "-".join(metadata.version(package) for package in sources)
    return str(built_once(f"panda-{versions}-r{RECIPE_VERSION}-{contact_digest()}.usdc", _build))


def _build(target: Path) -> None:
    from flow_rag_vla.tasks.assets.panda_usd import convert

    with quiet_console(cache_dir() / "panda_conversion.log"):
        convert(target)


def panda_cfg(prim_path: str = "{ENV_REGEX_NS}/Robot") -> ArticulationCfg:
    """The robot at the environment's origin: gravity-compensated arm, two fingers with equal drives."""
    return ArticulationCfg(
        prim_path=prim_path,
        spawn=sim_utils.UsdFileCfg(
            usd_path=panda_usd_path(),
            # Newton ignores disable_gravity of single bodies; gravcomp is MuJoCo's way.
            rigid_props=[MujocoRigidBodyCfg(gravcomp=1.0)],
            articulation_props=[
                PhysxArticulationCfg(enabled_self_collisions=False),
                NewtonArticulationCfg(self_collision_enabled=False),
            ],
            activate_contact_sensors=True,
        ),
        init_state=ArticulationCfg.InitialStateCfg(joint_pos=HOME_JOINT_POS),
        actuators={
            "arm": ImplicitActuatorCfg(
                joint_names_expr=["panda_joint[1-7]"],
                stiffness=ARM_STIFFNESS_N_M,
                damping=ARM_DAMPING_N_M_S,
                joint_effort_limit=ARM_TORQUE_LIMITS_N_M,
                armature=ARM_ARMATURE_KG_M2,
            ),
            "hand": ImplicitActuatorCfg(
                joint_names_expr=["panda_finger_joint.*"],
                stiffness=FINGER_STIFFNESS_N_M,
                damping=FINGER_DAMPING_N_S_M,
                joint_effort_limit=FINGER_EFFORT_LIMIT_N,
                armature=FINGER_ARMATURE_KG,
            ),
        },
    )
