"""Stills of the hazards as the nominal expert meets them, rendered without a window by Newton's Warp renderer.

Runs as a program of its own, since a process holds one simulation:
``python -m flow_rag_vla.tasks.picture OUT_FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as iio
import isaaclab.sim as sim_utils
import numpy as np
import torch
from isaaclab.assets import AssetBaseCfg
from isaaclab.sensors import CameraCfg
from isaaclab.utils import configclass
from isaaclab_newton.renderers import NewtonWarpRendererCfg

from flow_rag_vla.tasks.expert import ExpertPlan, ScriptedExpert
from flow_rag_vla.tasks.faults import get_fault
from flow_rag_vla.tasks.layout import Layout
from flow_rag_vla.tasks.physics.presets import physics_cfg
from flow_rag_vla.tasks.pick_place import PickPlaceEnv, PickPlaceEnvCfg
from flow_rag_vla.tasks.scenario import Scenario
from flow_rag_vla.tasks.scene import TableSceneCfg

STILLS: dict[str, int] = {"post": 60, "beam": 61, "push": 66}
"""Fault to the control step at which its picture is taken."""

_LAYOUT = Layout(lane=2, object_xy_m=(0.53, -0.26), object_yaw_rad=0.3, goal_xy_m=(0.53, 0.22))
_EYE, _TARGET = (1.45, -0.85, 0.70), (0.45, 0.0, 0.24)
_HEIGHT, _WIDTH = 480, 640


@configclass
class _PictureSceneCfg(TableSceneCfg):
    goal: AssetBaseCfg = AssetBaseCfg(
        prim_path="{ENV_REGEX_NS}/Goal",
        spawn=sim_utils.CuboidCfg(
            size=(0.07, 0.07, 0.001),
            visual_material=sim_utils.PreviewSurfaceCfg(diffuse_color=(0.15, 0.55, 0.25)),
        ),
        init_state=AssetBaseCfg.InitialStateCfg(pos=(*_LAYOUT.goal_xy_m, 0.0006)),
    )
    camera: CameraCfg = CameraCfg(
        prim_path="{ENV_REGEX_NS}/Camera",
        height=_HEIGHT,
        width=_WIDTH,
        update_period=0.0,
        data_types=["rgb"],
        spawn=sim_utils.PinholeCameraCfg(focal_length=24.0, horizontal_aperture=24.0, clipping_range=(0.05, 6.0)),
        renderer_cfg=NewtonWarpRendererCfg(use_cuda_graph=False, enable_shadows=True),
    )


def take_stills(folder: Path) -> list[Path]:
    """One PNG for each entry of ``STILLS``, in ``folder``."""
    cfg = PickPlaceEnvCfg()
    cfg.scene = _PictureSceneCfg(num_envs=1, env_spacing=0.0, replicate_physics=True)
    cfg.sim.device, cfg.sim.physics = "cpu", physics_cfg("newton_mujoco")
    env = PickPlaceEnv(cfg)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, when in STILLS.items():
        fault = get_fault(name)
        scenario = Scenario(
            task=cfg.task_name,
            site=0,
            layout_seed=0,
            layout=_LAYOUT,
            object_colour="blue",
            fault=name,
            fault_class=fault.fault_class,
            severity=fault.default_severity,
            parameters={k: v for k, v in vars(fault.parameters(fault.default_severity)).items()},
        )
        observation = env.load([scenario], [0])
        expert = ScriptedExpert(1)
        expert.reset(torch.arange(1), ExpertPlan.nominal(1))
        camera = env.scene["camera"]
        camera.set_world_poses_from_view(torch.tensor([_EYE]), torch.tensor([_TARGET]))
        for _ in range(when):
            env.step(expert.act(observation))
            observation = env.observe()
        image = camera.data.output["rgb"]
        pixels = np.asarray(image.torch[0].cpu() if hasattr(image, "torch") else image[0].cpu())[..., :3]
        path = folder / f"scene-{name}.png"
        iio.imwrite(path, pixels.astype(np.uint8))
        paths.append(path)
    env.close()
    return paths


if __name__ == "__main__":
    take_stills(Path(sys.argv[1]))
