"""How far the gripper opens and closes: on nothing, with all its force, back and forth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.benchmark.contacts.running import load_aside, refuse_ended
from flow_rag_vla.tasks.contract import ACTION_DIM
from flow_rag_vla.tasks.env.play import PlayedStep, play

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

LIMITS_M = (0.0, 0.08)
TOLERANCE_M = 0.001
GRIPS: tuple[tuple[float, int], ...] = ((-1.0, 40), (1.0, 30), (-1.0, 15), (1.0, 30))
"""Commands and control steps; the third turns back in mid-travel."""

NUM_STEPS = sum(steps for _, steps in GRIPS)


@dataclass(frozen=True)
class Opening:
    """Extremes over all hands and control steps, mm."""

    least_mm: float
    most_mm: float
    closed_mm: float
    """At the end of closing: of all hands what is furthest off 0."""
    open_mm: float
    """At the end of opening: of all hands what is furthest off 80."""

    @property
    def stays_within_limits(self) -> bool:
        """Within ``LIMITS_M``, give or take ``TOLERANCE_M``."""
        low, high = (1e3 * limit for limit in LIMITS_M)
        return self.least_mm >= low - 1e3 * TOLERANCE_M and self.most_mm <= high + 1e3 * TOLERANCE_M


def measure_opening(fleet: Fleet, on_step: Callable[[int], None] | None = None) -> Opening:
    """Close and open all hands of ``fleet``, of the task ``lift``, in the air.

    ``on_step`` is told how many of ``NUM_STEPS`` are done.

    Raises:
        RuntimeError: an episode ended meanwhile.
    """
    load_aside(fleet, fleet.num_envs)
    commands = [grip for grip, steps in GRIPS for _ in range(steps)]
    widths: list[torch.Tensor] = []

    def act(observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        action = torch.zeros(fleet.num_envs, ACTION_DIM, device=fleet.device)
        action[:, 6] = commands[step]
        return action

    def after_step(step: PlayedStep) -> None:
        widths.append(1e3 * step.observation.gripper_width_m.squeeze(1))
        if on_step is not None:
            on_step(step.index + 1)

    play(fleet, act, after_step=after_step, num_steps=NUM_STEPS)
    refuse_ended(fleet.done, "opening")
    width = torch.stack(widths).double()
    closed, opened = width[GRIPS[0][1] - 1], width[-1]
    return Opening(
        least_mm=float(width.min()),
        most_mm=float(width.max()),
        closed_mm=float(closed[(closed - 1e3 * LIMITS_M[0]).abs().argmax()]),
        open_mm=float(opened[(opened - 1e3 * LIMITS_M[1]).abs().argmax()]),
    )
