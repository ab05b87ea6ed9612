"""What the learned detector sees: the sensed state a window ago and now, and the action in between.

The rule-based detector remembers an episode in flags; here a state holds, beside the sensed quantities of one control
step, their extremes over a window and a few numbers about the episode so far.  Positions are relative and nothing tells
colours, places or sites apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from flow_rag_vla.agents.policy.features import (
    HELD_FORCE_N,
    TRACKING_SCALE_M,
    constant_like,
    elongated,
    rotation_matrix,
)
from flow_rag_vla.tasks.contract import ACTION_LIMITS, Observation

WINDOW_STEPS = 16
"""Control steps between the two states of a window (0.53 s)."""

SCORE_EVERY = 4
"""A detector is asked in every fourth control step, and once more when the episode ends."""

FINE_M, COARSE_M = 0.02, 0.2
FORCE_SCALE_N = 10.0
"""Forces enter as ``asinh(force / FORCE_SCALE_N)``: newtons matter near zero, their order of magnitude above."""

WIDTH_CHANGE_SCALE_M = 0.02
"""Of the opening, finer than ``features.WIDTH_SCALE_M``: a slip shows as millimetres."""
SPEED_SCALE_M = 0.01
"""Of the object's displacement in one control step."""

EPISODE_SCALE_STEPS = 100.0
SHORT_SCALE_STEPS = 20.0

INSTANT_BLOCKS: tuple[tuple[str, int], ...] = (
    ("object_from_ee", 3), ("object_from_ee_fine", 3), ("goal_from_object", 3), ("goal_from_object_fine", 3),
    ("ee_tracking", 3), ("object_from_start_xy", 1), ("object_above_start", 1), ("object_tilt", 2),
    ("object_size", 3), ("elongated", 1), ("gripper_width", 1), ("gripper_beyond_object", 1), ("grip_force", 2),
    ("hand_force", 3), ("link_force", 1), ("previous_action", 7),
)  # fmt: skip
EXTREME_BLOCKS: tuple[tuple[str, int], ...] = (
    ("hand_force", 1), ("hand_force_across", 1), ("hand_force_up", 1), ("hand_force_down", 1), ("link_force", 1),
    ("grip_force", 1), ("minus_grip_force", 1), ("minus_width_beyond_object", 1), ("object_speed", 1),
    ("object_from_ee", 1), ("object_tilt", 1),
)  # fmt: skip
EPISODE_BLOCKS: tuple[tuple[str, int], ...] = (
    ("elapsed", 1), ("highest", 1), ("ever_held", 1), ("since_held", 1), ("closing", 1), ("opened", 1),
)  # fmt: skip
"""Name and width of the blocks of a state, in order: now, largest in the last window, the episode so far."""

NUM_STATE_FEATURES = sum(width for _, width in (*INSTANT_BLOCKS, *EXTREME_BLOCKS, *EPISODE_BLOCKS))


@dataclass(frozen=True)
class DetectionWindow:
    """One input of a detector, one row per environment."""

    before: torch.Tensor
    """(num_envs, NUM_STATE_FEATURES) state ``WINDOW_STEPS`` ago, or at the start of the episode."""
    after: torch.Tensor
    """(num_envs, NUM_STATE_FEATURES) state now."""
    action: torch.Tensor
    """(num_envs, 7) mean action in between, in units of the action limits."""


def _force(newton: torch.Tensor) -> torch.Tensor:
    return torch.asinh(newton / FORCE_SCALE_N)


def _column(values: torch.Tensor) -> torch.Tensor:
    return values.unsqueeze(1)


def scaled_action(o: Observation) -> torch.Tensor:
    """The last action (num_envs, 7) in units of the action limits."""
    return o.previous_action / constant_like(ACTION_LIMITS, o.previous_action)


class WindowTracker:
    """Follows ``num_envs`` episodes; ``update`` after every control step.

    The window of an episode that does not run any more stays as it was when the episode ended.
    """

    def __init__(self, num_envs: int, device: str = "cpu") -> None:
        """Windows of episodes that have not begun."""

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(num_envs, *shape, device=device)

        self._states = zeros(NUM_STATE_FEATURES).repeat(WINDOW_STEPS, 1, 1)
        self._actions = zeros(7).repeat(WINDOW_STEPS, 1, 1)
        self._extremes = zeros(sum(width for _, width in EXTREME_BLOCKS)).repeat(WINDOW_STEPS, 1, 1)
        self._slot = 0
        self._fresh = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._may_begin = True
        self._start, self._last_pos = zeros(3), zeros(3)
        self._elapsed, self._highest, self._since_held, self._closing = zeros(), zeros(), zeros(), zeros()
        self._ever_held, self._opened = zeros(), zeros()
        self._before, self._after, self._action = zeros(NUM_STATE_FEATURES), zeros(NUM_STATE_FEATURES), zeros(7)

    @property
    def window(self) -> DetectionWindow:
        """The windows that end with the last update."""
        return DetectionWindow(self._before, self._after, self._action)

    @property
    def ever_held(self) -> torch.Tensor:
        """(num_envs,) bool: something was felt between the closed fingers in this episode."""
        return self._ever_held > 0

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget the episodes of ``env_ids`` (k,); the next update begins new ones."""
        self._fresh[env_ids] = True
        self._may_begin = True

    def update(self, o: Observation, running: torch.Tensor) -> None:
        """Take in what is sensed after one control step; rows that do not run (num_envs,) keep their window."""
        fresh, begins = self._fresh & running, self._may_begin
        if begins:
            self._begin(fresh, o)
        self._follow(o, running)
        axes = rotation_matrix(o.object_quat_b)
        extremes, action = self._now_extremes(o, axes), scaled_action(o)
        slot = self._slot
        if begins:
            self._extremes = torch.where(fresh[:, None], extremes, self._extremes)
        self._extremes[slot] = extremes
        after = torch.cat([self._instant(o, axes, action), self._extremes.amax(dim=0), self._episode()], dim=1)
        if begins:
            self._states = torch.where(fresh[:, None], after, self._states)
            self._actions = torch.where(fresh[:, None], action, self._actions)
        keep = running.unsqueeze(1)
        self._before = torch.where(keep, self._states[slot], self._before)
        self._states[slot], self._actions[slot] = after, action
        self._after = torch.where(keep, after, self._after)
        self._action = torch.where(keep, self._actions.mean(dim=0), self._action)
        self._last_pos = o.object_pos_b.clone()
        self._slot = (slot + 1) % WINDOW_STEPS
        self._fresh &= ~running
        if begins:
            # Asked after a reset alone: the answer waits for the device.
            self._may_begin = bool(self._fresh.any())

    def _begin(self, fresh: torch.Tensor, o: Observation) -> None:
        row = fresh.unsqueeze(1)
        self._start = torch.where(row, o.object_pos_b, self._start)
        self._last_pos = torch.where(row, o.object_pos_b, self._last_pos)
        for state in (self._elapsed, self._highest, self._closing, self._ever_held, self._since_held, self._opened):
            state[fresh] = 0.0

    def _follow(self, o: Observation, running: torch.Tensor) -> None:
        closed = o.previous_action[:, 6] < 0
        held = closed & (o.grip_force_n[:, 0] > HELD_FORCE_N)
        ever = (self._ever_held > 0) | (held & running)
        raised = o.object_pos_b[:, 2] - self._start[:, 2]
        self._elapsed += running
        self._highest = torch.where(running, torch.maximum(self._highest, raised), self._highest)
        self._since_held = torch.where(held, 0.0, self._since_held + 1.0)
        self._closing = torch.where(closed, self._closing + 1.0, 0.0)
        self._opened = torch.where(ever & ~closed, self._opened + 1.0, 0.0)
        self._ever_held = ever.float()

    def _instant(self, o: Observation, axes: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        from_ee, to_goal = o.object_pos_b - o.ee_pos_b, o.goal_pos_b - o.object_pos_b
        moved = o.object_pos_b - self._start
        width = o.gripper_width_m
        narrow = o.object_size_m[:, :2].amin(dim=1, keepdim=True)
        blocks = (
            from_ee / COARSE_M,
            torch.tanh(from_ee / FINE_M),
            to_goal / COARSE_M,
            torch.tanh(to_goal / FINE_M),
            (o.ee_target_pos_b - o.ee_pos_b) / TRACKING_SCALE_M,
            torch.tanh(moved[:, :2].norm(dim=1, keepdim=True) / (2 * FINE_M)),
            torch.tanh(moved[:, 2:] / (2 * FINE_M)),
            axes[:, 2, ::2],
            o.object_size_m / (2 * FINE_M) - 1.0,
            _column(elongated(o).float()),
            width / WIDTH_CHANGE_SCALE_M - 2.0,
            (width - narrow) / WIDTH_CHANGE_SCALE_M,
            torch.cat([_force(o.grip_force_n), torch.tanh(o.grip_force_n)], dim=1),
            _force(o.hand_force_b),
            _force(o.link_force_b.norm(dim=1, keepdim=True)),
            action,
        )
        return torch.cat(blocks, dim=1)

    def _now_extremes(self, o: Observation, axes: torch.Tensor) -> torch.Tensor:
        """What the extremes over a window are taken of (num_envs, k); the largest counts.  ``axes``: the object's."""
        hand, grip = o.hand_force_b, o.grip_force_n[:, 0]
        narrow = o.object_size_m[:, :2].amin(dim=1)
        columns = (
            _force(hand.norm(dim=1)),
            _force(hand[:, :2].norm(dim=1)),
            _force(hand[:, 2]),
            _force(-hand[:, 2]),
            _force(o.link_force_b.norm(dim=1)),
            _force(grip),
            -_force(grip),
            (narrow - o.gripper_width_m[:, 0]) / WIDTH_CHANGE_SCALE_M,
            torch.tanh((o.object_pos_b - self._last_pos).norm(dim=1) / SPEED_SCALE_M),
            torch.tanh((o.object_pos_b - o.ee_pos_b).norm(dim=1) / (5 * FINE_M)),
            axes[:, 2, 0].abs(),
        )
        return torch.stack(columns, dim=1)

    def _episode(self) -> torch.Tensor:
        columns = (
            self._elapsed / EPISODE_SCALE_STEPS,
            torch.tanh(self._highest / (2 * FINE_M)),
            self._ever_held,
            torch.tanh(self._since_held / SHORT_SCALE_STEPS),
            torch.tanh(self._closing / SHORT_SCALE_STEPS),
            torch.tanh(self._opened / SHORT_SCALE_STEPS),
        )
        return torch.stack(columns, dim=1)
