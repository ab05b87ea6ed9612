"""A small simulation without an environment around it: the scene, the gripper and the contact reader."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch


class Rig:
    """``num_envs`` table-top scenes; the arm holds its joint targets, the fingers obey a grip command."""

    def __init__(self, physics: str, num_envs: int, obstacle_size: tuple[float, float, float] | None) -> None:
        from isaaclab.scene import InteractiveScene
        from isaaclab.sim import SimulationCfg, SimulationContext

        from flow_rag_vla.tasks.assets.gripper import GripperForce
        from flow_rag_vla.tasks.env.scene import TableSceneCfg
        from flow_rag_vla.tasks.facts.contact_parameters import CONTROL_STEP_S
        from flow_rag_vla.tasks.facts.objects import get_object
        from flow_rag_vla.tasks.physics.contacts import ContactForces
        from flow_rag_vla.tasks.physics.presets import physics_cfg
        from flow_rag_vla.tasks.physics.properties import set_shape

        self.dt = CONTROL_STEP_S
        self.sim = SimulationContext(SimulationCfg(dt=self.dt, device="cpu", physics=physics_cfg(physics)))
        cfg = TableSceneCfg(num_envs=num_envs, env_spacing=0.0, replicate_physics=True)
        if obstacle_size is not None:
            cfg.obstacle.spawn = cfg.obstacle.spawn.replace(size=obstacle_size)  # pyright: ignore
        self.scene = InteractiveScene(cfg)
        self.sim.reset()
        self.scene.reset()
        self.num_envs = num_envs
        self.robot, self.object, self.obstacle = (self.scene[name] for name in ("robot", "object", "obstacle"))
        self.finger_ids = self.robot.find_joints("panda_finger_joint.*")[0]
        self.arm_ids = self.robot.find_joints("panda_joint[1-7]")[0]
        set_shape(self.object, torch.arange(num_envs), [get_object("cube")] * num_envs)
        self.contacts = ContactForces()
        self.gripper = GripperForce(num_envs, "cpu")
        home = self.robot.data.default_joint_pos.torch.clone()
        self.robot.write_joint_position_to_sim_index(position=home)
        self.robot.write_joint_velocity_to_sim_index(velocity=torch.zeros_like(home))
        self.arm_target = home[:, self.arm_ids]

    @property
    def joint_pos(self) -> torch.Tensor:
        return self.robot.data.joint_pos.torch.clone()

    def fingertips(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre between the fingertips (num_envs, 3) and the hand's orientation (num_envs, 4), xyzw."""
        from isaaclab.utils.math import quat_apply

        pose = self.robot.data.body_link_pose_w.torch[:, self.robot.find_bodies("panda_hand")[0][0]]
        reach = torch.tensor([0.0, 0.0, 0.1036]).expand(self.num_envs, 3)
        return pose[:, :3] + quat_apply(pose[:, 3:].contiguous(), reach), pose[:, 3:].clone()

    def place(self, body, position: torch.Tensor, orientation: torch.Tensor | None = None) -> None:
        pose = torch.zeros(self.num_envs, 7)
        pose[:, 6] = 1.0
        pose[:, :3] = position
        if orientation is not None:
            pose[:, 3:] = orientation
        body.write_root_pose_to_sim_index(root_pose=pose)
        body.write_root_velocity_to_sim_index(root_velocity=torch.zeros(self.num_envs, 6))

    def step(self, grip: torch.Tensor | float) -> None:
        command = torch.as_tensor(grip, dtype=torch.float32).expand(self.num_envs)
        fingers = self.gripper.targets(command, self.joint_pos[:, self.finger_ids])
        self.robot.set_joint_position_target_index(target=self.arm_target, joint_ids=self.arm_ids)
        self.robot.set_joint_position_target_index(target=fingers, joint_ids=self.finger_ids)
        self.scene.write_data_to_sim()
        self.sim.step(render=False)
        self.scene.update(self.dt)

    def state(self) -> torch.Tensor:
        return torch.cat([self.joint_pos, self.object.data.root_pose_w.torch], dim=1).clone()


@contextmanager
def _rig(log: Path, physics: str, num_envs: int, obstacle_size: tuple[float, float, float] | None) -> Iterator[Rig]:
    from isaaclab.sim import SimulationContext

    from flow_rag_vla.tasks.physics.quiet import quiet_console

    gc.freeze()  # clearing collects garbage: not through all that was imported, each time
    with quiet_console(log):
        try:
            yield Rig(physics, num_envs, obstacle_size)
        finally:
            # One simulation at a time in a process; this frees the place for the next.
            SimulationContext.clear_instance()


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """``make_rig(physics, num_envs, obstacle_size)`` closes the rig before."""
    with ExitStack() as stack:

        def make(
            physics: str = "newton_mujoco", num_envs: int = 4, obstacle_size: tuple[float, float, float] | None = None
        ) -> Rig:
            stack.close()
            return stack.enter_context(_rig(tmp_path / "physics.log", physics, num_envs, obstacle_size))

        yield make
