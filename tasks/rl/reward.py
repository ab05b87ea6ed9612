"""Dense rewards: reach, close, hold, raise, bring, and a bonus on success; one table of weights a task.

All terms are ``(num_envs,)`` between 0 and 1 and use the truth, as rewards may.  Weights are rates, per second; success is
paid once, and more than what lingering short of it could ever earn (a test compares them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.contract import CONTROL_HZ

if TYPE_CHECKING:
    from flow_rag_vla.tasks.facts import StepFacts
    from flow_rag_vla.tasks.task import Task

REACH_SCALE_M = 0.15
NEAR_M = 0.03
RAISED_M = 0.05
BRING_SCALE_M = 0.15


@dataclass(frozen=True)
class RewardWeights:
    """Per second, but for ``success``, which is paid once; ``effort`` is a cost."""

    reach: float = 1.0
    grip: float = 0.5
    hold: float = 1.5
    raised: float = 2.0
    bring: float = 4.0
    effort: float = 0.1
    success: float = 20.0

    @property
    def most_per_step(self) -> float:
        """The most that one control step can earn short of success."""
        return (self.reach + self.grip + self.hold + self.raised + self.bring) / CONTROL_HZ


WEIGHTS: dict[str, RewardWeights] = {
    "pick_place": RewardWeights(),
    "stack": RewardWeights(),
    "lift": RewardWeights(),
    "bin_transport": RewardWeights(raised=3.0),  # the bin's wall stands in the way of what is not raised
}
"""By short name of the task."""


def reaching(facts: StepFacts) -> torch.Tensor:
    """1 where the fingertips are at the object's centre."""
    return 1.0 - torch.tanh((facts.ee_pos_b - facts.object_pos_b).norm(dim=1) / REACH_SCALE_M)


def gripping_in_time(facts: StepFacts, wanted_free: torch.Tensor) -> torch.Tensor:
    """1 where the gripper is closed on the object and open on the way, or where the object is ``wanted_free``."""
    near = (facts.ee_pos_b - facts.object_pos_b).norm(dim=1) < NEAR_M
    return (facts.commanded_closed == (near & ~wanted_free)).float()


def raising(facts: StepFacts, rest_height_m: torch.Tensor) -> torch.Tensor:
    """How far the object is on its way to ``RAISED_M`` above where it lay."""
    return ((facts.object_pos_b[:, 2] - rest_height_m) / RAISED_M).clamp(0.0, 1.0)


def bringing(facts: StepFacts) -> torch.Tensor:
    """1 where the object is at its goal."""
    return 1.0 - torch.tanh((facts.object_pos_b - facts.goal_pos_b).norm(dim=1) / BRING_SCALE_M)


def task_reward(
    task: Task,
    facts: StepFacts,
    *,
    held: torch.Tensor,
    rest_height_m: torch.Tensor,
    success: torch.Tensor,
    effort: torch.Tensor,
) -> torch.Tensor:
    """Reward of one control step, (num_envs,).

    Args:
        task: Names the weights and says where the object belongs.
        facts: What the simulator says after the step.
        held: (num_envs,) bool, the object is in the hand.
        rest_height_m: (num_envs,) height of the object's centre where it lay.
        success: (num_envs,) bool, the task was completed in this step.
        effort: (num_envs,) see ``actions.effort``.
    """
    weights = WEIGHTS[task.slug]
    delivered = task.at_goal(facts) & task.releases
    in_hand = (held | delivered).float()
    rate = (
        weights.reach * reaching(facts)
        + weights.grip * gripping_in_time(facts, delivered)
        + weights.hold * in_hand
        + weights.raised * in_hand * torch.maximum(raising(facts, rest_height_m), delivered.float())
        + weights.bring * in_hand * bringing(facts)
        - weights.effort * effort
    )
    reward = rate / CONTROL_HZ + weights.success * success.float()
    # What broke down in the solver is nobody's merit, and NaN would end the training.
    return torch.where(facts.invalid, 0.0, reward)
