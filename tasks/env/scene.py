"""The table-top scene that the tasks share: table, Panda, the handled object, one obstacle box; and what tasks add."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass
from isaaclab_newton.sim.schemas import MujocoCollisionCfg

from flow_rag_vla.tasks.assets.manipuland import ManipulandCfg
from flow_rag_vla.tasks.assets.panda import HOME_JOINT_POS, panda_cfg
from flow_rag_vla.tasks.catalogue.bin_transport import BIN_WALL_HEIGHT_M, BIN_WALL_THICKNESS_M, BIN_X_M, BIN_Y_M
from flow_rag_vla.tasks.catalogue.stack import BASE_EDGE_M
from flow_rag_vla.tasks.facts.contact_parameters import CONTACT_SOLIMP, CONTACT_SOLREF, OBJECT_CONDIM, ROUND_SOLIMP
from flow_rag_vla.tasks.hazards.obstacles import MAX_HALF_EXTENTS_M

_PLAIN = sim_utils.RigidBodyMaterialCfg(static_friction=1.0, dynamic_friction=1.0)


def _box_size(half_extents: tuple[float, float, float]) -> tuple[float, float, float]:
    return (2 * half_extents[0], 2 * half_extents[1], 2 * half_extents[2])


def _collision(cfg: MujocoCollisionCfg | None = None) -> list:
    """How a collider gives way; the robot's say the same (``panda_usd``)."""
    return [
        sim_utils.UsdPhysicsCollisionCfg(),
        cfg or MujocoCollisionCfg(solimp=CONTACT_SOLIMP, solref=CONTACT_SOLREF),
    ]


def _object_collision(solimp: tuple[float, float, float, float, float]) -> list:
    """As ``_collision``; priority 1 makes the object's friction rule in all of its contacts."""
    return _collision(MujocoCollisionCfg(solimp=solimp, solref=CONTACT_SOLREF, priority=1, condim=OBJECT_CONDIM))


def _waiting_panda() -> ArticulationCfg:
    """The Panda, turned towards the pick side, clear of what may stand in the middle."""
    robot = panda_cfg()
    robot.init_state.joint_pos = {**HOME_JOINT_POS, "panda_joint1": -0.5}
    return robot


@configclass
class TableSceneCfg(InteractiveSceneCfg):
    """Everything is built in place: no asset is fetched from anywhere."""

    table: AssetBaseCfg = AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Table",
        spawn=sim_utils.CuboidCfg(
            size=(1.0, 1.2, 0.1),
            collision_props=_collision(),
            physics_material=_PLAIN,
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.75, 0.72, 0.68)),
        ),
        init_state=AssetBaseCfg.InitialStateCfg(pos=(0.5, 0.0, -0.05)),
    )
    robot: ArticulationCfg = _waiting_panda()
    object: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Object",
        spawn=ManipulandCfg(
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(rigid_body_enabled=True),
            collision_props=_object_collision(CONTACT_SOLIMP),
            round_collision_props=_object_collision(ROUND_SOLIMP),
            physics_material=_PLAIN,
            mass_props=sim_utils.MassCfg(mass=0.1),
            activate_contact_sensors=True,
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.15, 0.30, 0.85)),
        ),
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.5, -0.25, 0.03)),
    )
    obstacle: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Obstacle",
        spawn=sim_utils.CuboidCfg(
            size=_box_size(MAX_HALF_EXTENTS_M),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(kinematic_enabled=True),
            collision_props=_collision(),
            physics_material=_PLAIN,
            mass_props=sim_utils.MassCfg(mass=2.0),
            activate_contact_sensors=True,
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.80, 0.25, 0.20)),
        ),
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.60, 1.20, -0.50)),
    )


@configclass
class StackSceneCfg(TableSceneCfg):
    """With a free base cube on the place side."""

    base: RigidObjectCfg = RigidObjectCfg(
        prim_path="{ENV_REGEX_NS}/Base",
        spawn=sim_utils.CuboidCfg(
            size=(BASE_EDGE_M, BASE_EDGE_M, BASE_EDGE_M),
            rigid_props=sim_utils.UsdPhysicsRigidBodyCfg(rigid_body_enabled=True),
            collision_props=_collision(),
            physics_material=_PLAIN,
            mass_props=sim_utils.MassCfg(mass=0.3),
            activate_contact_sensors=True,
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.45, 0.45, 0.48)),
        ),
        init_state=RigidObjectCfg.InitialStateCfg(pos=(0.5, 0.25, BASE_EDGE_M / 2)),
    )


def _bin_wall(name: str, x_m: tuple[float, float], y_m: tuple[float, float]) -> AssetBaseCfg:
    """A wall of the bin that fills ``x_m`` times ``y_m``."""
    return AssetBaseCfg(
        prim_path=f"{{ENV_REGEX_NS}}/{name}",
        spawn=sim_utils.CuboidCfg(
            size=(x_m[1] - x_m[0], y_m[1] - y_m[0], BIN_WALL_HEIGHT_M),
            collision_props=_collision(),
            physics_material=_PLAIN,
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.35, 0.45, 0.55)),
        ),
        init_state=AssetBaseCfg.InitialStateCfg(pos=(sum(x_m) / 2, sum(y_m) / 2, BIN_WALL_HEIGHT_M / 2)),
    )


_WALL = BIN_WALL_THICKNESS_M


@configclass
class BinSceneCfg(TableSceneCfg):
    """With an open bin on the place side; the table is its floor."""

    bin_near: AssetBaseCfg = _bin_wall("BinNear", BIN_X_M, (BIN_Y_M[0] - _WALL, BIN_Y_M[0]))
    bin_far: AssetBaseCfg = _bin_wall("BinFar", BIN_X_M, (BIN_Y_M[1], BIN_Y_M[1] + _WALL))
    bin_left: AssetBaseCfg = _bin_wall("BinLeft", (BIN_X_M[0] - _WALL, BIN_X_M[0]), BIN_Y_M)
    bin_right: AssetBaseCfg = _bin_wall("BinRight", (BIN_X_M[1], BIN_X_M[1] + _WALL), BIN_Y_M)


SCENES: dict[str, type[TableSceneCfg]] = {"table": TableSceneCfg, "stack": StackSceneCfg, "bin": BinSceneCfg}
"""What ``Task.scene`` may name."""
