"""Per-environment shape properties that Isaac Lab's assets do not expose: friction and box size, on Newton."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import warp as wp
from isaaclab_newton.physics.newton_manager import NewtonManager
from newton import ModelFlags

if TYPE_CHECKING:
    from isaaclab.assets import RigidObject


def _shape_attribute(body: RigidObject, name: str) -> torch.Tensor:
    """Writable view (num_envs, shapes, ...) of the Newton model's ``name`` for the shapes of ``body``."""
    view = body._root_view  # pyright: ignore[reportAttributeAccessIssue]
    return wp.to_torch(view.get_attribute(name, NewtonManager.get_model())[:, 0])


def set_friction(body: RigidObject, env_ids: torch.Tensor, friction: torch.Tensor) -> None:
    """Set the Coulomb friction coefficient of ``body`` in ``env_ids`` (k,) to ``friction`` (k,)."""
    _shape_attribute(body, "shape_material_mu")[env_ids] = friction.unsqueeze(1)
    NewtonManager.add_model_change(ModelFlags.SHAPE_PROPERTIES)


def set_box_half_extents(body: RigidObject, env_ids: torch.Tensor, half_extents_m: torch.Tensor) -> None:
    """Set the half extents (k, 3) of the single-box ``body`` in ``env_ids`` (k,)."""
    _shape_attribute(body, "shape_scale")[env_ids] = half_extents_m.unsqueeze(1)
    NewtonManager.add_model_change(ModelFlags.SHAPE_PROPERTIES)


def set_mass(body: RigidObject, env_ids: torch.Tensor, mass_kg: torch.Tensor, edge_m: float) -> None:
    """Set the mass (k,) and the inertia of a solid cube with edge ``edge_m`` of ``body`` in ``env_ids`` (k,)."""
    ids = env_ids.to(torch.int32)
    inertia = torch.zeros(len(env_ids), 1, 9, device=mass_kg.device)
    inertia[..., [0, 4, 8]] = (mass_kg * edge_m**2 / 6.0).view(-1, 1, 1)
    body.set_masses_index(masses=mass_kg.unsqueeze(1), env_ids=ids)
    body.set_inertias_index(inertias=inertia, env_ids=ids)
