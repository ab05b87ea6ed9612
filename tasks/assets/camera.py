"""What a camera in front of the table sees: pictures of the whole fleet in one batch, drawn by Newton's Warp renderer.

The camera is not part of the scene's configuration: it draws the physics model itself, and only when asked, since a
picture costs more than a control step.  What perception may not see is left out of the renderer's geometry
(``HIDDEN_PRIMS``), not painted over: no hidden obstacle can occlude anything, or throw a shadow.
"""

# Newton's model holds optional arrays, and Warp's types do not describe themselves.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import isaaclab.sim as sim_utils
import torch
import warp as wp
from isaaclab.assets import AssetBaseCfg
from isaaclab_newton.physics.newton_manager import NewtonManager
from newton import ShapeFlags
from newton.sensors import SensorTiledCamera

from flow_rag_vla.tasks.assets.camera_pose import quat_of_view
from flow_rag_vla.tasks.contract import FRONT_VIEW, CameraView

if TYPE_CHECKING:
    from isaaclab.scene import InteractiveSceneCfg

HIDDEN_PRIMS: tuple[str, ...] = ("Obstacle",)
"""Post, beam, wall and raised rim: what the robot may only learn of by touch."""

GOAL_MARKER = "GoalMarker"
MARKER_EDGE_M, MARKER_THICKNESS_M = 0.07, 0.001
MARKER_RGB = (0.15, 0.55, 0.25)
_BELOW_TABLE_M = -1.0

TABLE_RGB = (0.75, 0.72, 0.68)
BACKGROUND_RGB = (0.93, 0.93, 0.93)
LIGHT_DIRECTION = (-0.577, 0.577, -0.577)

_TRANSPARENT = SensorTiledCamera.ClearData(clear_color=0)
"""Where no ray hits anything.  Constant, since the renderer compiles a kernel for each clear colour."""


@dataclass(frozen=True)
class Visible:
    """What the episodes look like, one row per environment."""

    object_rgb: torch.Tensor
    """(num_envs, 3) colour of the handled object, 0 to 1."""
    marker_pos_b: torch.Tensor
    """(num_envs, 3) middle of the goal marker's underside, m; NaN where the task has none."""
    camera_shift_b: torch.Tensor
    """(num_envs, 3) how far the camera stands from where its calibration says, m."""


@dataclass(frozen=True)
class Appearance:
    """Domain randomisation of one batch of pictures; tensors have one row per environment."""

    camera_shift_m: torch.Tensor
    """(num_envs, 3) displaces the camera without turning it."""
    target_shift_m: torch.Tensor
    """(num_envs, 3) displaces the point it looks at, which turns it."""
    object_rgb: torch.Tensor
    """(num_envs, 3) replaces the object's colour; NaN keeps it."""
    table_rgb: torch.Tensor
    """(num_envs, 3)."""
    background_rgb: torch.Tensor
    """(num_envs, 3)."""
    light_direction: tuple[float, float, float]


def add_goal_marker(scene: InteractiveSceneCfg) -> None:
    """Furnish ``scene`` with a flat marker that the camera shows on the goal; nothing can touch it."""
    marker = AssetBaseCfg(
        prim_path=f"{{ENV_REGEX_NS}}/{GOAL_MARKER}",
        spawn=sim_utils.CuboidCfg(
            size=(MARKER_EDGE_M, MARKER_EDGE_M, MARKER_THICKNESS_M),
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=MARKER_RGB),
        ),
    )
    setattr(scene, GOAL_MARKER, marker)


class FleetCamera:
    """One camera in every environment."""

    def __init__(self, env_origins: torch.Tensor, view: CameraView = FRONT_VIEW) -> None:
        """Bind to the simulation that runs; ``env_origins`` (num_envs, 3) are where its environments stand, m."""
        self.view = view
        self._origins = env_origins
        num_envs, device = len(env_origins), str(env_origins.device)
        self._model = NewtonManager.get_model()
        self._object = self._rows_of("Object")
        self._marker = self._rows_of(GOAL_MARKER)
        self._table = self._rows_of("Table")
        self._leave_out_hidden()
        self._sensor = SensorTiledCamera(
            self._model, default_render_config=SensorTiledCamera.RenderConfig(enable_textures=False)
        )
        fov = [view.fov_y_rad]
        self._rays = self._sensor.utils.compute_camera_rays_pinhole(view.width, view.height, camera_fovs=fov)
        self._image = self._sensor.utils.create_color_image_output(view.width, view.height, 1)
        self._pose = torch.zeros(1, num_envs, 7, device=device)
        nothing = torch.zeros(num_envs, 3, device=device)
        self.plain = Appearance(
            camera_shift_m=nothing,
            target_shift_m=nothing,
            object_rgb=torch.full_like(nothing, torch.nan),
            table_rgb=nothing.new_tensor(TABLE_RGB).expand(num_envs, 3),
            background_rgb=nothing.new_tensor(BACKGROUND_RGB).expand(num_envs, 3),
            light_direction=LIGHT_DIRECTION,
        )

    def render(self, visible: Visible, appearance: Appearance | None = None) -> torch.Tensor:
        """Pictures (num_envs, height, width, 3), uint8, of the simulation as it is now."""
        look = self.plain if appearance is None else appearance
        self._paint(visible, look)
        self._aim(visible, look)
        self._sensor.utils.create_default_light(enable_shadows=False, direction=wp.vec3f(*look.light_direction))
        state = NewtonManager.get_state_0()
        self._model.bvh_refit_shapes(state)
        poses = wp.from_torch(self._pose, dtype=wp.transformf)
        self._sensor.update(state, poses, self._rays, color_image=self._image, clear_data=_TRANSPARENT)
        # A pixel is one packed integer: red in the lowest byte, alpha in the highest.
        packed = wp.to_torch(self._image.view(wp.int32))[:, 0].contiguous()
        channels = packed.view(torch.uint8).unflatten(-1, (self.view.width, 4))
        background = (255 * look.background_rgb).round().to(torch.uint8).reshape(-1, 1, 1, 3)
        return torch.where(channels[..., 3:] > 0, channels[..., :3], background)

    def _rows_of(self, prim: str) -> torch.Tensor:
        """Shapes (num_envs, k) of ``prim`` in every environment; k is 0 where there is no such prim."""
        rows = [i for i, label in enumerate(self._model.shape_label) if f"/{prim}/" in f"{label}/"]
        return torch.tensor(rows, dtype=torch.long, device=self._origins.device).reshape(len(self._origins), -1)

    def _leave_out_hidden(self) -> None:
        flags = wp.to_torch(self._model.shape_flags)
        for prim in HIDDEN_PRIMS:
            flags[self._rows_of(prim)] &= ~int(ShapeFlags.VISIBLE)
        self._model.bvh_build_shapes(NewtonManager.get_state_0())

    def _paint(self, visible: Visible, look: Appearance) -> None:
        colours = wp.to_torch(self._model.shape_color)
        repainted = torch.where(look.object_rgb.isnan(), visible.object_rgb, look.object_rgb)
        colours[self._object] = repainted.unsqueeze(1)
        colours[self._table] = look.table_rgb.unsqueeze(1)
        if self._marker.numel() == 0:
            return
        marker = visible.marker_pos_b.nan_to_num(nan=_BELOW_TABLE_M)
        marker = marker + self._origins + marker.new_tensor([0.0, 0.0, 0.6 * MARKER_THICKNESS_M])
        transforms = wp.to_torch(self._model.shape_transform)
        transforms[self._marker.flatten(), :3] = marker

    def _aim(self, visible: Visible, look: Appearance) -> None:
        eye = look.target_shift_m.new_tensor(self.view.eye_m)
        target = look.target_shift_m.new_tensor(self.view.target_m) + look.target_shift_m
        # Shifts displace the camera as a whole: it keeps the direction in which it looks.
        self._pose[0, :, :3] = eye + look.camera_shift_m + visible.camera_shift_b + self._origins
        self._pose[0, :, 3:] = quat_of_view(target - eye)
