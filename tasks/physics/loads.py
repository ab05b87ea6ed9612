"""What acts on the robot in each environment: torques of its drives, and where contacts press."""

# mujoco's functions come from a compiled module without stubs, and Isaac Lab keeps any of Newton's solvers or none.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import mujoco
import numpy as np
import torch
from isaaclab_newton.physics.newton_manager import NewtonManager

if TYPE_CHECKING:
    from collections.abc import Iterator


def _joints(model: mujoco.MjModel, names: str) -> list[int]:
    return [i for i in range(model.njnt) if re.search(names, model.joint(i).name)]


def drive_torques(names: str) -> torch.Tensor:
    """(num_envs, k) torques in N m, or forces in N, on the k joints whose names match ``names``, in their order.

    As the running engine applies them, see ``SensingSolver.snapshots``.
    """
    torques = []
    for model, data in NewtonManager._solver.snapshots():
        dofs = [int(model.jnt_dofadr[i]) for i in _joints(model, names)]
        torques.append(torch.from_numpy(data.qfrc_actuator[dofs].copy()))
    return torch.stack(torques).float()


def pressed_points(on: str, by: str) -> torch.Tensor:
    """(num_envs, 3) where what matches ``on`` and ``by`` press on one another, world axes, m; NaN without contact.

    The mean of their contact points, weighted with the normal forces.  The expressions are searched in the names that
    ``contact_layout.ContactGroups`` speaks of.  Friction cones are elliptic: a contact's first force is the normal one.
    """
    points = [_pressed_point(model, data, on, by) for model, data in NewtonManager._solver.snapshots()]
    return torch.from_numpy(np.stack(points)).float()


def _pressed_point(model: mujoco.MjModel, data: mujoco.MjData, on: str, by: str) -> np.ndarray:
    weighted, total = np.zeros(3), 0.0
    for i, (first, second) in enumerate(_pairs(model, data)):
        either_way = ((first, second), (second, first))
        pair = any(re.search(on, one) and re.search(by, other) for one, other in either_way)
        # MuJoCo Warp leaves fields that mj_contactForce may look at as they were in memory.
        if pair and data.contact.dist[i] < data.contact.includemargin[i]:
            normal_n = data.efc_force[data.contact.efc_address[i]]
            weighted += normal_n * data.contact.pos[i]
            total += normal_n
    return weighted / total if total > 0 else np.full(3, np.nan)


def _pairs(model: mujoco.MjModel, data: mujoco.MjData) -> Iterator[tuple[str, str]]:
    """Names of both sides of each contact: of bodies, and of geoms that belong to the world."""
    for geoms in data.contact.geom:
        first, second = (
            model.body(model.geom_bodyid[geom]).name if model.geom_bodyid[geom] > 0 else model.geom(geom).name
            for geom in geoms
        )
        yield first, second
