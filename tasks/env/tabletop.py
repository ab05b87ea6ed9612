"""What stands on the table: the object and, where there is one, the base that it is stacked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.contract import WORKCELL_DIM
from flow_rag_vla.tasks.facts.colours import PALETTE
from flow_rag_vla.tasks.facts.objects import get_object
from flow_rag_vla.tasks.facts.workcell import workcell_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isaaclab.assets import RigidObject
    from isaaclab.scene import InteractiveScene

    from flow_rag_vla.tasks.scenarios.scenario import Scenario


class Tabletop:
    """Puts the layouts of ``num_envs`` scenarios into the simulation, and tells where things are and belong."""

    def __init__(self, scene: InteractiveScene) -> None:
        """Bind to the scene's object and base; nothing is placed yet."""
        self._object: RigidObject = scene["object"]
        self._base: RigidObject | None = scene.rigid_objects.get("base")
        self._origins = scene.env_origins
        zeros = torch.zeros_like(self._origins)
        self.goal_pos_b, self.colour, self.size_m = zeros, zeros.clone(), zeros.clone()
        """(num_envs, 3) each: planned goal for the object's centre, m; the object's RGB, 0 to 1; its edges, m."""
        self.workcell = zeros.new_zeros(len(zeros), WORKCELL_DIM)
        """(num_envs, WORKCELL_DIM), as in ``Observation``."""

    def place(self, env_ids: torch.Tensor, scenarios: Sequence[Scenario]) -> None:
        """Lay out ``scenarios[i]`` in ``env_ids[i]`` (k,), everything at rest."""
        layouts = [s.layout for s in scenarios]
        device = self._origins.device
        sizes = torch.tensor([get_object(s.object_model).size_m for s in scenarios], device=device)
        yaw = torch.tensor([layout.object_yaw_rad for layout in layouts], device=device)
        pose = torch.zeros(len(layouts), 7, device=device)
        pose[:, :2] = torch.tensor([layout.object_xy_m for layout in layouts], device=device)
        pose[:, 2] = sizes[:, 2] / 2
        pose[:, 5], pose[:, 6] = torch.sin(yaw / 2), torch.cos(yaw / 2)
        self._write_pose(self._object, env_ids, pose)
        self.goal_pos_b[env_ids, :2] = torch.tensor([layout.goal_xy_m for layout in layouts], device=device)
        goal_height = torch.tensor([layout.goal_height_m for layout in layouts], device=device)
        self.goal_pos_b[env_ids, 2] = goal_height + sizes[:, 2] / 2
        self.colour[env_ids] = torch.tensor([PALETTE[s.object_colour] for s in scenarios], device=device)
        self.workcell[env_ids] = torch.tensor([workcell_tag(s.site) for s in scenarios], device=device)
        self.size_m[env_ids] = sizes
        if self._base is not None:
            pose[:, :2] = self.goal_pos_b[env_ids, :2]
            pose[:, 2] = goal_height / 2
            pose[:, 3:6], pose[:, 6] = 0.0, 1.0
            self._write_pose(self._base, env_ids, pose)

    def object_pose_b(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The object's true centre (num_envs, 3), m, and xyzw quaternion (num_envs, 4)."""
        pose = self._object.data.root_pose_w.torch
        return pose[:, :3] - self._origins, pose[:, 3:7]

    def true_goal_b(self) -> torch.Tensor:
        """(num_envs, 3) where the object's centre belongs; it moves with the base where there is one."""
        if self._base is None:
            return self.goal_pos_b.clone()
        base = self._base.data.root_pose_w.torch[:, :2] - self._origins[:, :2]
        return torch.cat([base, self.goal_pos_b[:, 2:]], dim=1)

    def goal_underside_b(self) -> torch.Tensor:
        """(num_envs, 3) the planned goal for the middle of the object's underside, m."""
        return self.goal_pos_b - self.size_m * self.size_m.new_tensor([0.0, 0.0, 0.5])

    def _write_pose(self, body: RigidObject, env_ids: torch.Tensor, pose_b: torch.Tensor) -> None:
        """Put ``body`` in ``env_ids`` (k,) at ``pose_b`` (k, 7), at rest."""
        ids = env_ids.to(torch.int32)
        pose = pose_b.clone()
        pose[:, :3] += self._origins[env_ids]
        body.write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)
        body.write_root_velocity_to_sim_index(root_velocity=torch.zeros_like(pose[:, :6]), env_ids=ids)
