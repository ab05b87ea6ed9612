"""Per-environment properties of bodies on Newton: shape, size, colour, friction, mass and centre of mass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import warp as wp
from isaaclab_newton.physics.newton_manager import NewtonManager
from newton import ModelFlags

from flow_rag_vla.tasks.facts.objects import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isaaclab.assets import RigidObject

    from flow_rag_vla.tasks.facts.objects import ObjectModel

BOX_SHAPE, CYLINDER_SHAPE = 0, 1
"""Index of each collision shape of the handled object, in the order in which ``manipuland`` spawns them."""

SPECK_M = 0.002
"""Half size of a shape that is not in use."""


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


def set_shape(body: RigidObject, env_ids: torch.Tensor, models: Sequence[ObjectModel]) -> None:
    """Give ``body`` in ``env_ids`` (k,) the shapes of ``models`` (k of them).

    The body holds a box and an upright cylinder; the one that is not wanted shrinks to a speck in its middle, where
    nothing can touch it.
    """
    device = env_ids.device
    half = torch.tensor([model.size_m for model in models], device=device) / 2
    round_ = torch.tensor([model.shape is Shape.CYLINDER for model in models], device=device).unsqueeze(1)
    speck = torch.full_like(half, SPECK_M)
    cylinder = torch.stack([half[:, 0], half[:, 2], torch.zeros_like(half[:, 0])], dim=1)
    scales = _shape_attribute(body, "shape_scale")
    scales[env_ids, BOX_SHAPE] = torch.where(round_, speck, half)
    scales[env_ids, CYLINDER_SHAPE] = torch.where(round_, cylinder, speck * speck.new_tensor([1.0, 1.0, 0.0]))
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


def set_mass(body: RigidObject, env_ids: torch.Tensor, mass_kg: torch.Tensor, unit_inertia: torch.Tensor) -> None:
    """Set the mass (k,) and, from the inertia (k, 3) of 1 kg about the principal axes, the inertia of ``body``."""
    ids = env_ids.to(torch.int32)
    inertia = torch.zeros(len(env_ids), 1, 9, device=mass_kg.device)
    inertia[:, 0, [0, 4, 8]] = mass_kg.unsqueeze(1) * unit_inertia
    body.set_masses_index(masses=mass_kg.unsqueeze(1), env_ids=ids)
    body.set_inertias_index(inertias=inertia, env_ids=ids)


def set_com(body: RigidObject, env_ids: torch.Tensor, offset_x_m: torch.Tensor) -> None:
    """Put the centre of mass of ``body`` in ``env_ids`` (k,) at ``offset_x_m`` (k,) along the body's x axis."""
    coms = torch.zeros(len(env_ids), 1, 3, device=offset_x_m.device)
    coms[:, 0, 0] = offset_x_m
    body.set_coms_index(coms=coms, env_ids=env_ids.to(torch.int32))
