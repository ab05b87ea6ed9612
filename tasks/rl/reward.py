"""Dense rewards: reach, close, hold, raise, bring, and a bonus on success; one table of weights a task.

All terms are ``(num_envs,)`` and use the truth, as rewards may; gains lie between 0 and 1.  Weights are rates, per
second; success is paid once, and more than what lingering short of it could ever earn (a test compares them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.contract import CONTROL_HZ

if TYPE_CHECKING:
    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.facts.step_facts import StepFacts

REACH_SCALES_M = (0.3, 0.05)
"""The wide one draws the hand to the object from where it starts, the narrow one down to it."""

CENTRE_SCALE_M = 0.02

NEAR_M = 0.025
SQUEEZE_N = 2.0
RAISED_M = 0.05
BRING_SCALES_M = (0.15, 0.03)
"""The wide one is felt from the table, the narrow one keeps the object inside the task's tolerance."""

LAG_SCALE_M = 0.04


@dataclass(frozen=True)
class RewardWeights:
    """Per second, but for ``success``, which is paid once; ``effort`` and ``press`` are costs."""

    reach: float = 1.5
    align: float = 0.5
    grip: float = 1.0
    hold: float = 1.5
    raised: float = 5.0
    bring: float = 5.0
    effort: float = 0.1
    press: float = 1.5
    success: float = 30.0


WEIGHTS: dict[str, RewardWeights] = {
    "bin_transport": RewardWeights(raised=6.0),  # the bin's wall stands in the way of what is not raised
}
"""By short name of the task, where they are not the usual ones."""


def reward_weights(task: Task) -> RewardWeights:
    """The weights of ``task``'s reward."""
    return WEIGHTS.get(task.slug, RewardWeights())


def reaching(facts: StepFacts) -> torch.Tensor:
    """1 where the fingertips are at the object's centre."""
    offset = facts.ee_pos_b - facts.object_pos_b
    short = [torch.tanh(offset.norm(dim=1) / scale) for scale in REACH_SCALES_M]
    # Sideways by itself, or a hand that stands on the object, too high by its height, would not feel that it is off.
    short.append(torch.tanh(offset[:, :2].norm(dim=1) / CENTRE_SCALE_M))
    return 1.0 - torch.stack(short).mean(dim=0)


def gripping_in_time(facts: StepFacts, wanted_free: torch.Tensor) -> torch.Tensor:
    """1 where the gripper is closed on the object, or open where the object is ``wanted_free``; 0.5 if open on the way.

    Half, or who comes near with a gripper that is still undecided would lose by it, and learn to stay away.
    """
    near = (facts.ee_pos_b - facts.object_pos_b).norm(dim=1) < NEAR_M
    in_time = facts.commanded_closed == (near & ~wanted_free)
    return in_time.float() * torch.where(near, 1.0, 0.5)


def holding(facts: StepFacts) -> torch.Tensor:
    """1 where closed fingers squeeze the object from both sides; one that jams between open fingers is not held."""
    return (facts.finger_force_n.amin(dim=1) / SQUEEZE_N).clamp(max=1.0) * facts.commanded_closed


def raising(facts: StepFacts, rest_height_m: torch.Tensor) -> torch.Tensor:
    """How far the object is on its way to ``RAISED_M`` above where it lay."""
    return ((facts.object_pos_b[:, 2] - rest_height_m) / RAISED_M).clamp(0.0, 1.0)


def bringing(facts: StepFacts) -> torch.Tensor:
    """1 where the object is at its goal."""
    distance = (facts.object_pos_b - facts.goal_pos_b).norm(dim=1)
    return 1.0 - torch.stack([torch.tanh(distance / scale) for scale in BRING_SCALES_M]).mean(dim=0)


def pressing(lag_m: torch.Tensor) -> torch.Tensor:
    """1 where the hand is ``LAG_SCALE_M`` from its pose target, as it is where it presses on the table.

    It costs while the object is in the hand.  Without the cost a policy pushes down on the table as it holds; its
    target then lies so far below the hand that no random step upwards lifts anything, and lifting is never found.
    Were it to cost before that, a policy would stay above the object instead of pushing past its edges.
    """
    return (lag_m / LAG_SCALE_M).square()


def task_reward(
    task: Task,
    facts: StepFacts,
    *,
    rest_height_m: torch.Tensor,
    success: torch.Tensor,
    effort: torch.Tensor,
    lag_m: torch.Tensor,
    missing_turn: torch.Tensor,
) -> torch.Tensor:
    """Reward of one control step, (num_envs,).

    Args:
        task: Names the weights and says where the object belongs.
        facts: What the simulator says after the step.
        rest_height_m: (num_envs,) height of the object's centre where it lay.
        success: (num_envs,) bool, the task was completed in this step.
        effort: (num_envs,) see ``actions.effort``.
        lag_m: (num_envs,) distance of the hand from its pose target, m.
        missing_turn: (num_envs,) see ``alignment.missing_turn``.
    """
    weights = reward_weights(task)
    delivered = task.at_goal(facts) & task.releases
    in_hand = torch.maximum(holding(facts), delivered.float())
    rate = (
        weights.reach * reaching(facts)
        + weights.align * (1.0 - missing_turn.abs())
        + weights.grip * gripping_in_time(facts, delivered)
        + weights.hold * in_hand
        + weights.raised * in_hand * torch.maximum(raising(facts, rest_height_m), delivered.float())
        + weights.bring * in_hand * bringing(facts)
        - weights.effort * effort
        - weights.press * in_hand * pressing(lag_m)
    )
    reward = rate / CONTROL_HZ + weights.success * success.float()
    # What broke down in the solver is nobody's merit, and NaN would end the training.
    return torch.where(facts.invalid_reason >= 0, 0.0, reward)
