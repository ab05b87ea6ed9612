"""Differential IK behind the 7-D action: deltas move a pose target, damped least squares follows it.

The target is absolute and survives the control step, so a zero action holds the pose; a leash keeps it close to the
hand, so that an arm held back by a contact neither winds up nor lunges when it comes free.  Near the table it leads the
hand down by less, and it stays within the arm's reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from isaaclab.controllers import DifferentialIKController, DifferentialIKControllerCfg
from isaaclab.utils.math import quat_apply, quat_from_angle_axis, quat_mul

from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M, MAX_DELTA_ROT_RAD
from flow_rag_vla.tasks.facts.contact_parameters import LEASH_M, MAX_JOINT_STEP_RAD, NEAR_TABLE_M, REACH_M

if TYPE_CHECKING:
    from isaaclab.assets import Articulation

TCP_OFFSET_M = 0.1036
"""Fingertip centre in the Panda hand frame, along its z axis."""


class EndEffectorControl:
    """Pose target and joint targets of ``num_envs`` arms; positions in the robot-base frame."""

    def __init__(self, robot: Articulation, env_origins: torch.Tensor) -> None:
        """Bind to ``robot``; ``env_origins`` (num_envs, 3) are subtracted from world positions."""
        self._robot = robot
        self._origins = env_origins
        device = env_origins.device
        num_envs = env_origins.shape[0]
        self.hand_id = int(robot.find_bodies("panda_hand")[0][0])
        self.joint_ids = [int(i) for i in robot.find_joints("panda_joint[1-7]")[0]]
        self._link_ids = [int(i) for i in robot.find_bodies("panda_link[1-7]")[0]]
        self._tcp_offset = torch.tensor([0.0, 0.0, TCP_OFFSET_M], device=device).repeat(num_envs, 1)
        self.target_pos_b = torch.zeros(num_envs, 3, device=device)
        self.target_quat_b = torch.zeros(num_envs, 4, device=device)
        limits = robot.data.soft_joint_pos_limits.torch[0, self.joint_ids]
        self._lower, self._upper = limits[:, 0], limits[:, 1]
        self._ik = DifferentialIKController(
            DifferentialIKControllerCfg(
                command_type="pose",
                use_relative_mode=False,
                ik_method="dls",
                ik_params={"lambda_val": 0.05},
            ),
            num_envs=num_envs,
            device=str(device),
        )

    def hand_pose_b(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Measured hand frame: position (num_envs, 3) and orientation (num_envs, 4)."""
        pose = self._robot.data.body_link_pose_w.torch[:, self.hand_id]
        return pose[:, :3] - self._origins, pose[:, 3:7]

    def tcp_pose_b(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Measured fingertip centre (num_envs, 3) and hand orientation (num_envs, 4)."""
        pos, quat = self.hand_pose_b()
        return pos + quat_apply(quat, self._tcp_offset), quat

    def send_home(self, env_ids: torch.Tensor) -> None:
        """Put the robots of ``env_ids`` (k,) into their home pose, at rest; ``reset`` then sets the pose target."""
        ids = env_ids.to(torch.int32)
        joint_pos = self._robot.data.default_joint_pos.torch[env_ids].clone()
        self._robot.write_joint_position_to_sim_index(position=joint_pos, env_ids=ids)
        self._robot.write_joint_velocity_to_sim_index(velocity=torch.zeros_like(joint_pos), env_ids=ids)
        self._robot.actuators.target_command.set_position_index(value=joint_pos, env_ids=ids)

    def reset(self, env_ids: torch.Tensor) -> None:
        """Set the pose target of ``env_ids`` to where the hand is."""
        pos, quat = self.tcp_pose_b()
        self.target_pos_b[env_ids] = pos[env_ids]
        self.target_quat_b[env_ids] = quat[env_ids]

    def move_target(self, delta: torch.Tensor, descent_lead_m: float) -> None:
        """Move the pose target by ``delta`` (num_envs, 6), m and rad: within speed limits, leash, descent and reach.

        ``descent_lead_m`` is how far, m, the target may be below the fingertip centre near the table.
        """
        step = delta[:, :3]
        length = step.norm(dim=1, keepdim=True).clamp(min=1e-9)
        step = step * (MAX_DELTA_POS_M / length).clamp(max=1.0)
        tcp_pos, _ = self.tcp_pose_b()
        pull = self.target_pos_b + step - tcp_pos
        stretch = pull.norm(dim=1, keepdim=True).clamp(min=1e-9)
        self.target_pos_b = tcp_pos + pull * (LEASH_M / stretch).clamp(max=1.0)
        lowest = tcp_pos[:, 2].clamp(max=NEAR_TABLE_M) - descent_lead_m
        self.target_pos_b[:, 2] = torch.maximum(self.target_pos_b[:, 2], lowest)
        self.target_pos_b += self._back_within_reach(self.target_pos_b - tcp_pos)

        angle = delta[:, 3:6].norm(dim=1)
        axis = delta[:, 3:6] / angle.clamp(min=1e-9).unsqueeze(1)
        turn = quat_from_angle_axis(angle.clamp(max=MAX_DELTA_ROT_RAD), axis)
        quat = quat_mul(turn, self.target_quat_b)
        self.target_quat_b = quat / quat.norm(dim=1, keepdim=True)

    def _back_within_reach(self, pull: torch.Tensor) -> torch.Tensor:
        """What to add to the pose target so that the wrist, moved by ``pull`` (num_envs, 3), is within reach."""
        links = self._robot.data.body_link_pose_w.torch[:, self._link_ids, :3]
        shoulder, wrist = links[:, 1], links[:, 5]
        stretch = wrist + pull - shoulder
        length = stretch.norm(dim=1, keepdim=True)
        return stretch * ((REACH_M / length).clamp(max=1.0) - 1.0)

    def hand_jacobian(self) -> torch.Tensor:
        """Geometric Jacobian (num_envs, 6, 7) of the hand frame, from the link poses.

        Joint ``i`` turns link ``i`` about that link's z axis.  Isaac Lab's ``body_link_jacobian_w`` holds the same
        numbers (a test compares them) but computes them for every body, at 20 times the cost.
        """
        links = self._robot.data.body_link_pose_w.torch[:, self._link_ids]
        x, y, z, w = links[..., 3:7].unbind(dim=-1)
        axis = torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], dim=-1)
        hand_pos = self._robot.data.body_link_pose_w.torch[:, self.hand_id, :3]
        arm = hand_pos.unsqueeze(1) - links[..., :3]
        return torch.cat([torch.linalg.cross(axis, arm), axis], dim=-1).transpose(1, 2)

    def joint_targets(self) -> torch.Tensor:
        """Arm joint position targets (num_envs, 7), rad, inside the joint limits."""
        hand_pos, hand_quat = self.hand_pose_b()
        hand_target = self.target_pos_b - quat_apply(self.target_quat_b, self._tcp_offset)
        joint_pos = self._robot.data.joint_pos.torch[:, self.joint_ids]
        self._ik.set_command(torch.cat([hand_target, self.target_quat_b], dim=1))
        wanted = self._ik.compute(hand_pos, hand_quat, self.hand_jacobian(), joint_pos)
        step = (wanted - joint_pos).clamp(-MAX_JOINT_STEP_RAD, MAX_JOINT_STEP_RAD)
        return (joint_pos + step).clamp(self._lower, self._upper)
