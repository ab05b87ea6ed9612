"""The Isaac Lab environment that the tasks share: 7-D actions in, sensed observations out, truth kept aside.

Two ways to run it.  As a gym environment (``random_agent``, RL) ended episodes reset themselves with fresh training
scenarios.  As a fleet (benchmark, demonstrations) ``load`` gives every environment its planned scenario, ended
episodes stay where they are, and ``truth`` tells how they went.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from isaaclab.envs import DirectRLEnv, DirectRLEnvCfg
from isaaclab.envs.common import VecEnvObs, VecEnvStepReturn
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.utils import configclass

from flow_rag_vla.tasks.assets.camera import Appearance, FleetCamera, Visible
from flow_rag_vla.tasks.assets.gripper import GripperForce
from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import (
    ACTION_DIM,
    CONTROL_HZ,
    GRIP_DEADBAND,
    MAX_STEPS,
    NOMINAL_GRIP,
    EpisodeTruth,
    InvalidReason,
    Observation,
)
from flow_rag_vla.tasks.env.commands import checked_actions, commands
from flow_rag_vla.tasks.env.end_effector import EndEffectorControl
from flow_rag_vla.tasks.env.events import COLLISION_FORCE_N, EventTracker
from flow_rag_vla.tasks.env.scene import TableSceneCfg
from flow_rag_vla.tasks.env.sensing import FiniteSenses, SensorNoise
from flow_rag_vla.tasks.env.tabletop import Tabletop
from flow_rag_vla.tasks.env.validity import Validity, explanations
from flow_rag_vla.tasks.facts.contact_parameters import DESCENT_LEAD_M, MAX_PENETRATION_M
from flow_rag_vla.tasks.facts.device import usable_device
from flow_rag_vla.tasks.facts.randomness import row_hashes
from flow_rag_vla.tasks.facts.rotation import quat_tilt
from flow_rag_vla.tasks.facts.step_facts import StepFacts
from flow_rag_vla.tasks.hazards.actuation import ActuationHazards
from flow_rag_vla.tasks.hazards.forces import at_fingertips, grip_in_effect, push_object
from flow_rag_vla.tasks.hazards.object_hazards import ObjectHazards
from flow_rag_vla.tasks.hazards.obstacles import place_obstacles
from flow_rag_vla.tasks.hazards.perception import perceived_goal, perceived_object
from flow_rag_vla.tasks.hazards.state import HazardState
from flow_rag_vla.tasks.physics.contacts import ContactForces
from flow_rag_vla.tasks.rl.actions import ACTION_SCALE, effort
from flow_rag_vla.tasks.rl.alignment import missing_turn
from flow_rag_vla.tasks.rl.policy_vector import POLICY_DIM, policy_vector
from flow_rag_vla.tasks.rl.reward import task_reward
from flow_rag_vla.tasks.rl.training_log import TrainingLog
from flow_rag_vla.tasks.scenarios.training_scenarios import TrainingScenarios

if TYPE_CHECKING:
    from flow_rag_vla.tasks.scenarios.scenario import Scenario


@configclass
class ManipulationEnvCfg(DirectRLEnvCfg):
    """What all tasks share; ``env_cfg`` sets a task's name, scene and time limit."""

    decimation = 1
    episode_length_s = MAX_STEPS / CONTROL_HZ
    action_space = ACTION_DIM
    observation_space = POLICY_DIM
    state_space = 0
    seed = 0
    scene: InteractiveSceneCfg = TableSceneCfg(num_envs=64, env_spacing=0.0, replicate_physics=True)

    task_name: str = DEFAULT_TASK.name
    site: int = 0  # of the scenarios that automatic resets draw
    action_scale: tuple[float, ...] | None = ACTION_SCALE
    """What an action of 1 means in m, rad and grip; then actions are normalised, as Isaac Lab's agents and RL want
    them.  None: actions are physical, as ``make_fleet`` sets it for the project's own agents."""
    max_penetration_m: float = MAX_PENETRATION_M
    """An episode in which both finger pads together sink deeper into the object is invalid."""
    descent_lead_m: float = DESCENT_LEAD_M  # m, of the pose target below the fingertips, near the table


class ManipulationEnv(DirectRLEnv):
    """Franka on a table with one object, one goal, and a hazard it may not see."""

    cfg: ManipulationEnvCfg

    def __init__(self, cfg: ManipulationEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        """Build the scene and bind every part to it."""
        cfg.sim.device = usable_device(cfg.sim.device)
        super().__init__(cfg, render_mode, **kwargs)
        self._bind()

    def _bind(self) -> None:
        origins, device = self.scene.env_origins, str(self.device)
        self._robot, self._object = self.scene["robot"], self.scene["object"]
        self.camera: FleetCamera | None = None
        self._ee = EndEffectorControl(self._robot, origins)
        self._finger_ids = self._robot.find_joints("panda_finger_joint.*")[0]
        self._gripper = GripperForce(self.num_envs, device)
        self.task = get_task(self.cfg.task_name)
        self._tabletop = Tabletop(self.scene)
        self._hazards = HazardState(self.num_envs, device)
        self._object_hazards = ObjectHazards(self._object, self._hazards)
        self._actuation = ActuationHazards(self.num_envs, self._hazards, device)
        self._validity = Validity(self.num_envs, device, self.cfg.max_penetration_m)
        self._events = EventTracker(self.task, self.num_envs, self.max_episode_length, device)
        self._noise = SensorNoise(self.num_envs, self.max_episode_length, device)
        self._senses = FiniteSenses()
        self._contacts = ContactForces()
        self._previous_action = torch.zeros(self.num_envs, ACTION_DIM, device=device)
        self._gripper_closed = torch.zeros(self.num_envs, dtype=torch.bool, device=device)
        self._instructions = [self.task.instructions[0]] * self.num_envs
        self._clock = torch.zeros(self.num_envs, dtype=torch.long, device=device)
        self._training_log = TrainingLog(self.num_envs, device)
        self._training = TrainingScenarios(self.cfg.task_name, self.cfg.site, self.num_envs)
        self._planned: list[Scenario] | None = None
        self._attempts = [0] * self.num_envs

    # Fleet interface.

    def load(self, scenarios: Sequence[Scenario], attempts: Sequence[int]) -> Observation:
        """Start ``num_envs`` planned episodes; automatic resets are off from now on.

        Args:
            scenarios: One per environment.
            attempts: How often each scenario has been met before; names the noise streams.

        Returns:
            The first observation.

        Raises:
            ValueError: not one scenario and attempt per environment.
        """
        n, given = self.num_envs, (len(scenarios), len(attempts))
        if given != (n, n):
            raise ValueError(f"expected {n} scenarios and attempts, got {given[0]} and {given[1]}")
        self._planned, self._attempts = list(scenarios), list(attempts)
        self.reset()
        return self.observe()

    def initial_state_shas(self) -> list[str]:
        """Hash of each environment's joint and object state, to prove that arms start alike."""
        joints = self._robot.data.joint_pos.torch, self._robot.data.joint_vel.torch
        return row_hashes(torch.cat([*joints, *self._tabletop.object_pose_b()], dim=1))

    @property
    def truth(self) -> EpisodeTruth:
        """What the simulator knows of the episodes so far; for metrics, never for agents."""
        return self._events.truth

    def explain_invalid(self) -> list[str | None]:
        """For each environment why its episode says nothing and which setting to change; None where it does."""
        return explanations(self._events.truth.invalid_reason, self._contacts.explain)

    @property
    def done(self) -> torch.Tensor:
        """(num_envs,) bool: episodes that have ended."""
        return self._events.done

    @property
    def goal_pos_b(self) -> torch.Tensor:
        """(num_envs, 3) the true goal for the object centre, m; a fault may bias what is perceived of it."""
        return self._tabletop.goal_pos_b

    def observe(self, *, images: bool = False, appearance: Appearance | None = None) -> Observation:
        """What the robots sense now (computed once per control step), with ``images`` the camera's pictures too.

        Pictures cost more than a control step; ``appearance`` randomises their looks.  Raises ``ValueError`` where
        there is no camera.
        """
        if not images:
            return self._observation
        if self.camera is None:
            raise ValueError("images need a camera; build the fleet with make_fleet(camera=True)")
        return dataclasses.replace(self._observation, rgb=self.camera.render(self._visible(), appearance))

    def _visible(self) -> Visible:
        object_pos, _ = self._tabletop.object_pose_b()
        error = perceived_object(object_pos, self._events.held, self._hazards) - object_pos
        underside = self._tabletop.goal_underside_b()
        return Visible(self._tabletop.colour, underside if self.task.marks_goal else underside * torch.nan, -error)

    def _sense(self) -> Observation:
        tcp_pos, quat = self._ee.tcp_pose_b()
        object_pos, object_quat = self._tabletop.object_pose_b()
        fingers = self._robot.data.joint_pos.torch[:, self._finger_ids]
        noise = self._noise.at(self._clock)
        forces = self._forces
        on_hand = forces["left_finger"] + forces["right_finger"] + forces["hand"]
        squeeze = 0.5 * (forces["left_finger"].norm(dim=1) + forces["right_finger"].norm(dim=1))
        arm = self._ee.joint_ids
        return Observation(
            joint_pos=self._robot.data.joint_pos.torch[:, arm],
            joint_vel=self._robot.data.joint_vel.torch[:, arm],
            ee_pos_b=tcp_pos,
            ee_quat_b=quat.clone(),
            ee_target_pos_b=self._ee.target_pos_b.clone(),
            ee_target_quat_b=self._ee.target_quat_b.clone(),
            gripper_width_m=fingers.sum(dim=1, keepdim=True),
            grip_force_n=(squeeze + noise[:, 6]).clamp(min=0.0).unsqueeze(1),
            hand_force_b=on_hand + noise[:, :3],
            link_force_b=forces["links"] + noise[:, 3:6],
            previous_action=self._previous_action.clone(),
            object_pos_b=perceived_object(object_pos, self._events.held, self._hazards),
            object_quat_b=object_quat.clone(),
            object_size_m=self._tabletop.size_m.clone(),
            object_rgb=self._tabletop.colour.clone(),
            goal_pos_b=perceived_goal(self._tabletop.true_goal_b(), self._events.released, self._hazards),
            instruction=tuple(self._instructions),
            workcell=self._tabletop.workcell.clone(),
        )

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[VecEnvObs, dict]:
        """Start anew everywhere; with ``seed`` as a new environment does whose ``cfg.seed`` it is."""
        if seed is not None:
            self.cfg.seed = seed
            self._training.restart()
        return super().reset(seed, options)

    # Isaac Lab's step, in the order things happen.

    def step(self, action: torch.Tensor) -> VecEnvStepReturn:
        """Carry out ``action`` (num_envs, 7) for one control step; raises ``ValueError`` where it is none."""
        return super().step(checked_actions(action, self.num_envs))

    def _pre_physics_step(self, actions: torch.Tensor) -> None:
        self._previous_action, finite = commands(actions, self._previous_action, self.cfg.action_scale)
        self._events.invalidate(~finite, InvalidReason.NON_FINITE_ACTION)
        self._object_pos_before_b, _ = self._tabletop.object_pose_b()
        events, hazards = self._events, self._hazards
        hazards.trigger(self._object_pos_before_b, events.rest_height_m, events.held, events.phase, self._clock)
        self._executed, self._altered = self._actuation.executed(self._previous_action, self._clock)
        moves_fingers = self._executed[:, 6].abs() >= GRIP_DEADBAND
        self._gripper_closed = torch.where(moves_fingers, self._executed[:, 6] < 0, self._gripper_closed)
        self._ee.move_target(self._executed[:, :6], self.cfg.descent_lead_m)
        near = at_fingertips(self._ee.tcp_pose_b()[0], *self._tabletop.object_pose_b(), self._tabletop.size_m)
        self._pushed = push_object(self._object, hazards, self._clock, events.held | near)
        self._forced_open = hazards.active("release_steps", self._clock)
        if self._planned is not None:
            self._contacts.leave(self._events.done)

    def _apply_action(self) -> None:
        target = self._robot.actuators.target_command
        target.set_position_index(value=self._ee.joint_targets(), joint_ids=self._ee.joint_ids)
        grip = grip_in_effect(self._executed[:, 6], self._hazards, self._forced_open)
        fingers = self._robot.data.joint_pos.torch[:, self._finger_ids]
        target.set_position_index(value=self._gripper.targets(grip, fingers), joint_ids=self._finger_ids)

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        self._clock += 1
        self._forces = self._contacts.read()
        fingers = torch.stack([self._forces["left_finger"], self._forces["right_finger"]], dim=1)
        mean = self._contacts.mean()
        broke = self._object_hazards.break_objects(torch.stack([mean["left_finger"], mean["right_finger"]], dim=1))
        object_pos, object_quat = self._tabletop.object_pose_b()
        tcp_pos, _ = self._ee.tcp_pose_b()
        obstacle_force = self._forces["obstacle"].norm(dim=1)
        # A collision has decided the episode: what it then crushes says nothing about the outcome.
        collided = obstacle_force > COLLISION_FORCE_N
        penetration = self._contacts.depths()["pads"].masked_fill(collided, 0.0)
        facts = self._facts = StepFacts(
            object_pos_b=object_pos,
            object_tilt_rad=quat_tilt(object_quat),
            object_speed=(object_pos - self._object_pos_before_b).norm(dim=1) * CONTROL_HZ,
            goal_pos_b=self._tabletop.true_goal_b(),
            ee_pos_b=tcp_pos,
            finger_force_n=fingers.norm(dim=2),
            finger_lift_n=fingers[:, :, 2].amax(dim=1),
            penetration_m=penetration,
            peak_penetration_m=self._contacts.peak_depths()["pads"],
            obstacle_force_n=obstacle_force,
            commanded_closed=self._previous_action[:, 6] < 0,
            gripper_closed=self._gripper_closed & ~self._forced_open,
            broke=broke,
            pushed=self._pushed,
            forced_open=self._forced_open,
            actuation_altered=self._altered,
            latent=self._hazards.latent,
            invalid_reason=self._validity.reason(
                self._clock == 1, self._contacts.invalid_reason(), object_pos, penetration, obstacle_force
            ),
        )
        self._events.update(facts, intact=~self._object_hazards.broken)
        if self._planned is not None:
            never = torch.zeros_like(self._events.done)
            return never, never
        # Isaac Lab's own counter: RL starts it at random, so that environments do not end all at once.
        timed_out = self.episode_length_buf >= self.max_episode_length
        return self._events.done & ~timed_out, timed_out

    def _get_rewards(self) -> torch.Tensor:
        if self._planned is not None:
            return torch.zeros(self.num_envs, device=self.device)  # planned episodes are judged by their outcomes
        events, facts = self._events, self._facts
        success = events.truth.success
        log, raised_m = self._training_log, facts.object_pos_b[:, 2] - events.rest_height_m
        self.extras["log"] = log.update(raised_m=raised_m, held=events.held, success=success, ended=self.reset_buf)
        reward = task_reward(
            self.task,
            facts,
            rest_height_m=events.rest_height_m,
            success=success,
            effort=effort(self._previous_action),
            lag_m=(self._ee.target_pos_b - facts.ee_pos_b).norm(dim=1),
            missing_turn=missing_turn(self._ee.hand_pose_b()[1], self._tabletop.object_pose_b()[1]),
        )
        return torch.where(torch.isfinite(reward), reward, 0.0)  # where the physics broke

    def _get_observations(self) -> VecEnvObs:
        self._observation, finite = self._senses.kept_finite(self._sense())
        self._events.invalidate(~finite, InvalidReason.NON_FINITE_OBSERVATION)
        return {} if self._planned is not None else {"policy": policy_vector(self._observation)}

    def _reset_envs_from_buffer(self) -> torch.Tensor | None:
        # To look for ended episodes is to wait for the device; planned ones stay ended.
        return super()._reset_envs_from_buffer() if self._planned is None else None

    def _reset_idx(self, env_ids: Sequence[int] | torch.Tensor) -> None:
        if not hasattr(self, "_ee"):
            self._bind()
        ids = torch.as_tensor(env_ids, device=self.device, dtype=torch.long)
        super()._reset_idx(env_ids)  # pyright: ignore[reportArgumentType] (Isaac Lab passes tensors itself)
        rows = ids.tolist()
        plan, seed = self._planned, int(self.cfg.seed or 0)
        scenarios = self._training.draw(rows, seed) if plan is None else [plan[i] for i in rows]
        self._ee.send_home(ids)
        self._tabletop.place(ids, scenarios)
        for i, scenario in zip(rows, scenarios, strict=True):
            self._instructions[i] = scenario.instruction
        self._hazards.reset(ids, scenarios, self.task.carry_zone_y_m)
        self._object_hazards.reset(ids, scenarios)
        self._actuation.reset(ids)
        place_obstacles(self.scene["obstacle"], self._hazards, ids, scenarios, self.scene.env_origins)
        self._noise.reset(ids, [s.noise_key for s in scenarios], [self._attempts[i] for i in rows])
        object_pos, _ = self._tabletop.object_pose_b()
        self._events.reset(ids, object_pos[ids])
        self._ee.reset(ids)
        self._gripper.reset(ids)
        self._previous_action[ids] = 0.0
        self._previous_action[ids, 6] = NOMINAL_GRIP
        self._gripper_closed[ids] = False
        self._clock[ids] = 0
        if not hasattr(self, "_forces"):
            self._forces = self._contacts.read()
        for force in self._forces.values():
            force[ids] = 0.0  # nothing touches anything right after a reset
