"""Pictures of an environment without a window: a camera and a marker on the goal, drawn by Newton's Warp renderer.

The marker is for the viewer alone: it has no collision, and no observation knows of it.  Neither is the camera a
sensor of the robot, so a film shows what is hidden from the policy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import isaaclab.sim as sim_utils
import numpy as np
import torch
from isaaclab.assets import AssetBaseCfg
from isaaclab.sensors import CameraCfg
from isaaclab_newton.renderers import NewtonWarpRendererCfg

from flow_rag_vla.tasks.env.make import make_fleet
from flow_rag_vla.tasks.physics.properties import set_colour, set_static_position

if TYPE_CHECKING:
    from isaaclab.scene import InteractiveSceneCfg

    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

EYE_M, TARGET_M = (1.45, -0.85, 0.70), (0.45, 0.0, 0.24)
"""Where the camera stands and what it looks at, robot-base frame."""

_CAMERA, _MARKER = "film_camera", "film_goal"
_MARKER_PRIM = "FilmGoal"
_MARKER_EDGE_M, _MARKER_THICKNESS_M = 0.07, 0.001


def film_props(width: int, height: int) -> Callable[[InteractiveSceneCfg], None]:
    """What adds camera (``width`` x ``height`` pixels) and goal marker to a scene's configuration."""

    def furnish(scene: InteractiveSceneCfg) -> None:
        marker = AssetBaseCfg(
            prim_path=f"{{ENV_REGEX_NS}}/{_MARKER_PRIM}",
            spawn=sim_utils.CuboidCfg(
                size=(_MARKER_EDGE_M, _MARKER_EDGE_M, _MARKER_THICKNESS_M),
                visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.15, 0.55, 0.25)),
            ),
        )
        camera = CameraCfg(
            prim_path="{ENV_REGEX_NS}/FilmCamera",
            height=height,
            width=width,
            update_period=0.0,
            data_types=["rgb"],
            spawn=sim_utils.PinholeCameraCfg(focal_length=24.0, horizontal_aperture=24.0, clipping_range=(0.05, 6.0)),
            renderer_cfg=NewtonWarpRendererCfg(use_cuda_graph=False, enable_shadows=True),
        )
        setattr(scene, _MARKER, marker)
        setattr(scene, _CAMERA, camera)

    return furnish


class Studio:
    """One environment of ``task`` in front of a camera."""

    def __init__(
        self, task: str, width: int, height: int, *, physics: str = "auto", max_steps: int | None = None
    ) -> None:
        """Build the environment on the CPU; the errors are those of ``make_fleet``."""
        self.env: ManipulationEnv = make_fleet(
            task, 1, physics=physics, device="cpu", max_steps=max_steps, furnish=film_props(width, height)
        )
        self._camera = self.env.scene[_CAMERA]
        self._aimed = False

    def frame(self) -> np.ndarray:
        """(height, width, 3) uint8: the scene now, the object in its episode's colour, the marker on the true goal."""
        if not self._aimed:
            self._camera.set_world_poses_from_view(torch.tensor([EYE_M]), torch.tensor([TARGET_M]))
            self._aimed = True
        env, seen = self.env, self.env.observe()
        set_colour(env.scene["object"], torch.arange(1), seen.object_rgb)
        base = env.goal_pos_b[0] - 0.5 * seen.object_size_m[0] * torch.tensor([0.0, 0.0, 1.0])
        lift = torch.tensor([0.0, 0.0, 0.6 * _MARKER_THICKNESS_M])
        set_static_position(_MARKER_PRIM, base + lift + env.scene.env_origins[0])
        return self._camera.data.output["rgb"].torch[0, ..., :3].cpu().numpy().astype(np.uint8)

    def close(self) -> None:
        """Free the place for the process's next simulation."""
        self.env.close()
