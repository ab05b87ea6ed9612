"""The object's hidden physics: mass, friction, centre of mass, and how much force breaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.facts.objects import get_object
from flow_rag_vla.tasks.physics.properties import set_com, set_friction, set_mass, set_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isaaclab.assets import RigidObject

    from flow_rag_vla.tasks.hazards.state import HazardState
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

BROKEN_FRICTION = 0.03
"""Friction of an object that broke: what leaks out makes it slide out of the fingers."""


class ObjectHazards:
    """Shape and hidden physics of the handled object in every environment."""

    def __init__(self, body: RigidObject, state: HazardState) -> None:
        """Bind to the object and the hazard parameters."""
        self._body, self._state = body, state
        self.broken = torch.zeros_like(state.trigger_step, dtype=torch.bool)

    def reset(self, env_ids: torch.Tensor, scenarios: Sequence[Scenario]) -> None:
        """Give ``env_ids[i]`` the object of ``scenarios[i]``."""
        value, device = self._state.value, env_ids.device
        models = [get_object(s.object_model) for s in scenarios]
        own_mass = torch.tensor([m.mass_kg for m in models], device=device)
        hazard_mass = value["object_mass_kg"][env_ids]
        mass = torch.where(hazard_mass > 0, hazard_mass, own_mass)
        inertia = torch.tensor([m.inertia_diagonal_kg_m2 for m in models], device=device)
        self.broken[env_ids] = False
        set_shape(self._body, env_ids, models)
        set_mass(self._body, env_ids, mass, inertia)
        set_com(self._body, env_ids, value["com_offset_m"][env_ids])
        set_friction(self._body, env_ids, value["object_friction"][env_ids])

    def break_objects(self, fingers_n: torch.Tensor) -> torch.Tensor:
        """Break objects pressed harder than they bear; returns the mask (num_envs,) of those that just broke.

        Args:
            fingers_n: (num_envs, 2, 3) force of each finger on the object, mean of the control step, N, world axes.
                One substep's force says less: where an object slides, the solver presses it for some milliseconds.
        """
        if not self._state.can_break:
            return torch.zeros_like(self.broken)
        # The hand points down: what squeezes acts in the plane of the table.
        grip_n = fingers_n[:, :, :2].norm(dim=2).amax(dim=1)
        breaks = (grip_n > self._state.value["crush_force_n"]) & ~self.broken
        self.broken |= breaks
        # Waits for the device, since the solver must be told of the change from here.
        env_ids = breaks.nonzero().flatten()
        if len(env_ids) > 0:
            set_friction(self._body, env_ids, torch.full((len(env_ids),), BROKEN_FRICTION, device=env_ids.device))
        return breaks
