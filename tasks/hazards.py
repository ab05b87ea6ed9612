"""Hazards at work: scenario parameters become mass, friction, obstacles and forces of each environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.faults import HAZARD_FIELDS, HazardParameters
from flow_rag_vla.tasks.layout import LANE_CENTRES_X_M
from flow_rag_vla.tasks.physics.properties import set_box_half_extents, set_friction, set_mass

if TYPE_CHECKING:
    from isaaclab.assets import RigidObject

    from flow_rag_vla.tasks.scenario import Scenario

OBSTACLE_Y_M = -0.03
"""Obstacles stand here, between the pick side and the place side."""

TRIGGER_ZONE_Y_M = (-0.10, 0.10)
"""Pushes and forced releases start when the carried object is in this stretch of its way."""

CARRIED_HEIGHT_M = 0.04
"""An object this far above its resting height counts as carried."""

BROKEN_FRICTION = 0.03
"""Friction of an object that broke: what leaks out makes it slide out of the fingers."""

MAX_HALF_EXTENTS_M = (0.16, 0.02, 0.15)
"""The obstacle is built at this size and shrunk to a post or a beam."""

_POST_HALF_X_M = 0.10
_BEAM_HALF_M = (0.16, 0.02, 0.012)
_BEAM_OVERHANG_M = 0.02
_TABLE_GAP_M = 0.001
_PARKED_B = (0.60, 1.20, -0.50)


class HazardInjector:
    """Hazard parameters of ``num_envs`` environments as (num_envs,) tensors, and what they do to the simulation."""

    def __init__(self, obj: RigidObject, obstacle: RigidObject, env_origins: torch.Tensor, edge_m: float) -> None:
        """Bind to the manipulated cube (edge ``edge_m``) and the obstacle box."""
        self._object, self._obstacle, self._origins, self._edge_m = obj, obstacle, env_origins, edge_m
        num_envs, self._device = env_origins.shape[0], env_origins.device
        plain = HazardParameters()
        self.value: dict[str, torch.Tensor] = {
            name: torch.full((num_envs,), getattr(plain, name), device=self._device) for name in HAZARD_FIELDS
        }
        self.broken = torch.zeros(num_envs, dtype=torch.bool, device=self._device)
        self.trigger_step = torch.full((num_envs,), -1, dtype=torch.long, device=self._device)

    def reset(self, env_ids: torch.Tensor, scenarios: list[Scenario]) -> None:
        """Give ``env_ids[i]`` the hazard of ``scenarios[i]``."""
        plain = HazardParameters()
        for name in HAZARD_FIELDS:
            column = [s.parameters.get(name, getattr(plain, name)) for s in scenarios]
            self.value[name][env_ids] = torch.tensor(column, device=self._device)
        self.broken[env_ids] = False
        self.trigger_step[env_ids] = -1
        set_mass(self._object, env_ids, self.value["object_mass_kg"][env_ids], self._edge_m)
        set_friction(self._object, env_ids, self.value["object_friction"][env_ids])
        lane_x = torch.tensor([LANE_CENTRES_X_M[s.layout.lane] for s in scenarios], device=self._device)
        self._place_obstacles(env_ids, lane_x)

    def _place_obstacles(self, env_ids: torch.Tensor, lane_x: torch.Tensor) -> None:
        post_top = self.value["post_top_m"][env_ids]
        beam_bottom = self.value["beam_bottom_m"][env_ids]
        half = torch.tensor(_BEAM_HALF_M, device=self._device).repeat(len(env_ids), 1)
        pose = torch.zeros(len(env_ids), 7, device=self._device)
        pose[:, :3] = torch.tensor(_PARKED_B, device=self._device)
        pose[:, 6] = 1.0

        is_beam = beam_bottom > 0
        # The arm reaches in from behind the hand, so a beam it can pass under starts at the hand and points away.
        pose[is_beam, 0] = lane_x[is_beam] - _BEAM_OVERHANG_M + _BEAM_HALF_M[0]
        pose[is_beam, 1] = OBSTACLE_Y_M
        pose[is_beam, 2] = beam_bottom[is_beam] + _BEAM_HALF_M[2]

        is_post = post_top > 0
        half[is_post, 0] = _POST_HALF_X_M
        half[is_post, 2] = (post_top[is_post] - _TABLE_GAP_M) / 2
        pose[is_post, 0] = lane_x[is_post]
        pose[is_post, 1] = OBSTACLE_Y_M
        pose[is_post, 2] = (post_top[is_post] + _TABLE_GAP_M) / 2

        pose[:, :3] += self._origins[env_ids]
        self._obstacle.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids.to(torch.int32))
        set_box_half_extents(self._obstacle, env_ids, half)

    def trigger(self, object_pos_b: torch.Tensor, held: torch.Tensor, step: torch.Tensor) -> None:
        """Start pushes and releases where a held object is carried through the trigger zone.

        A release happens once an episode; a push comes again whenever the object is carried through anew.
        """
        height = object_pos_b[:, 2] - self._edge_m / 2
        back_on_table = ~held & (height < CARRIED_HEIGHT_M / 4) & (self.value["push_force_n"] > 0)
        self.trigger_step = torch.where(back_on_table, -1, self.trigger_step)
        low, high = TRIGGER_ZONE_Y_M
        in_zone = (object_pos_b[:, 1] > low) & (object_pos_b[:, 1] < high)
        starts = held & (height > CARRIED_HEIGHT_M) & in_zone & (self.trigger_step < 0)
        self.trigger_step = torch.where(starts, step, self.trigger_step)

    def _active(self, step: torch.Tensor, duration: torch.Tensor) -> torch.Tensor:
        return (self.trigger_step >= 0) & (step < self.trigger_step + duration)

    def push(self, step: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
        """Apply this step's pushes to held objects; returns the mask (num_envs,) of environments being pushed."""
        # Pushing on after it has let go would drive the object through the table.
        active = self._active(step, self.value["push_steps"]) & held
        force = torch.zeros(len(active), 1, 3, device=self._device)
        force[:, 0, 2] = -torch.where(active, self.value["push_force_n"], 0.0)
        if active.any():
            self._object.instantaneous_wrench_composer.add_forces_and_torques_index(
                forces=force, torques=torch.zeros_like(force), is_global=True
            )
        return active & (self.value["push_force_n"] > 0)

    def forced_open(self, step: torch.Tensor) -> torch.Tensor:
        """Mask (num_envs,) of environments whose gripper is forced open in this step."""
        return self._active(step, self.value["release_steps"])

    def break_objects(self, peak_grip_n: torch.Tensor) -> torch.Tensor:
        """Break objects pressed harder than they bear; returns the mask (num_envs,) of those that just broke."""
        breaks = (peak_grip_n > self.value["crush_force_n"]) & ~self.broken
        self.broken |= breaks
        env_ids = breaks.nonzero().flatten()
        if len(env_ids) > 0:
            set_friction(self._object, env_ids, torch.full((len(env_ids),), BROKEN_FRICTION, device=self._device))
        return breaks
