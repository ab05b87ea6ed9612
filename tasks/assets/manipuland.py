"""Spawns the handled object: one rigid body with a box and a cylinder, of which each environment uses one."""

from __future__ import annotations

from collections.abc import Callable

from isaaclab.sim import CuboidCfg, CylinderCfg
from isaaclab.sim.spawners.shapes.shapes import spawn_geom_from_prim_type
from isaaclab.sim.utils import clone
from isaaclab.utils import configclass
from pxr import Usd

from flow_rag_vla.tasks.facts.objects import MAX_HALF_EXTENTS_M


@clone
def spawn_manipuland(
    prim_path: str,
    cfg: ManipulandCfg,
    translation: tuple[float, float, float] | None = None,
    orientation: tuple[float, float, float, float] | None = None,
    **kwargs,
) -> Usd.Prim:
    """The body at ``prim_path``, its box at ``geometry`` and its cylinder at ``round/geometry``."""
    edge = min(cfg.size)
    scale = (cfg.size[0] / edge, cfg.size[1] / edge, cfg.size[2] / edge)
    prim = spawn_geom_from_prim_type(prim_path, cfg, "Cube", {"size": edge}, translation, orientation, scale)
    radius, height = min(cfg.size[:2]) / 2, cfg.size[2]
    # A collider only: mass and rigid body belong to the parent.
    cylinder = CylinderCfg(
        radius=radius,
        height=height,
        collision_props=cfg.round_collision_props or cfg.collision_props,
        physics_material=cfg.physics_material,
        visual_material=cfg.visual_material,
    )
    attributes = {"radius": radius, "height": height, "axis": "Z"}
    spawn_geom_from_prim_type(f"{prim_path}/round", cylinder, "Cylinder", attributes)
    return prim


@configclass
class ManipulandCfg(CuboidCfg):
    """A box of the largest size that any object has, with a cylinder inside."""

    func: Callable | str = spawn_manipuland
    round_collision_props: list | None = None
    """Of the cylinder; the box's if None."""
    size: tuple[float, float, float] = (
        2 * MAX_HALF_EXTENTS_M[0],
        2 * MAX_HALF_EXTENTS_M[1],
        2 * MAX_HALF_EXTENTS_M[2],
    )
