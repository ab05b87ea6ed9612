"""Per-environment shape properties that Isaac Lab's assets do not expose: friction, box size, colour, on Newton."""

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


def set_colour(body: RigidObject, env_ids: torch.Tensor, rgb: torch.Tensor) -> None:
    """Set the colour that pictures show of ``body`` in ``env_ids`` (k,) to ``rgb`` (k, 3), 0 to 1."""
    _shape_attribute(body, "shape_color")[env_ids] = rgb.unsqueeze(1)


def set_static_position(prim: str, position_w: torch.Tensor) -> None:
    """Move what the scene spawned as ``prim`` without a body (a visual marker) to ``position_w`` (3,), m.

    Raises:
        KeyError: there is no shape of that name.
    """
    model = NewtonManager.get_model()
    rows = [row for row, label in enumerate(model.shape_label) if prim in label.split("/")]
    if not rows or model.shape_transform is None:
        raise KeyError(f"no shape belongs to {prim!r}; the scene has {', '.join(model.shape_label)}")
    wp.to_torch(model.shape_transform)[rows, :3] = position_w


def set_mass(body: RigidObject, env_ids: torch.Tensor, mass_kg: torch.Tensor, edge_m: float) -> None:
    """Set the mass (k,) and the inertia of a solid cube with edge ``edge_m`` of ``body`` in ``env_ids`` (k,)."""
    ids = env_ids.to(torch.int32)
    inertia = torch.zeros(len(env_ids), 1, 9, device=mass_kg.device)
    inertia[..., [0, 4, 8]] = (mass_kg * edge_m**2 / 6.0).view(-1, 1, 1)
    body.set_masses_index(masses=mass_kg.unsqueeze(1), env_ids=ids)
    body.set_inertias_index(inertias=inertia, env_ids=ids)
