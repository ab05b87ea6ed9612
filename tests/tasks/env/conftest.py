"""One hand-made episode, for what is said of it step by step."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FAILURE_TYPES, INVALID_REASONS, PHASES, InvalidReason
from flow_rag_vla.tasks.env.events import EventTracker
from flow_rag_vla.tasks.facts.step_facts import StepFacts

START = (0.5, -0.25, 0.025)
GOAL = (0.5, 0.20, 0.025)
ON_THE_WAY = (0.5, 0.0, 0.15)
HELD = {"force": 10.0, "closed": True}


class Episode:
    """One environment, told step by step what the simulator says."""

    def __init__(self, task: str = "pick_place", max_steps: int = 200, goal: tuple[float, float, float] = GOAL) -> None:
        self.tracker = EventTracker(get_task(task), 1, max_steps, "cpu")
        self.tracker.reset(torch.tensor([0]), torch.tensor([START]))
        self.goal = goal
        self.at = START

    def steps(
        self,
        count: int,
        at: tuple[float, float, float] | None = None,
        *,
        force: float | tuple[float, float] = 0.0,
        closed: bool = False,
        gripper_closed: bool | None = None,
        obstacle: float = 0.0,
        tilt: float = 0.0,
        speed: float = 0.0,
        standing: float = 0.0,
        broke: bool = False,
        pushed: bool = False,
        forced_open: bool = False,
        actuation_altered: bool = False,
        latent: bool = False,
        penetration: float = 0.0,
        invalid: InvalidReason | None = None,
    ) -> Episode:
        self.at = at or self.at
        left, right = force if isinstance(force, tuple) else (force, force)

        def flag(value: float) -> torch.Tensor:
            return torch.tensor([value])

        facts = StepFacts(
            object_pos_b=torch.tensor([self.at]),
            object_speed=flag(speed),
            object_tilt_rad=flag(tilt),
            goal_pos_b=torch.tensor([self.goal]),
            ee_pos_b=torch.tensor([self.at]),
            finger_force_n=torch.tensor([[left, right]]),
            finger_lift_n=flag(standing),
            penetration_m=flag(penetration),
            peak_penetration_m=flag(penetration),
            obstacle_force_n=flag(obstacle),
            commanded_closed=flag(closed),
            gripper_closed=flag(closed if gripper_closed is None else gripper_closed),
            broke=flag(broke),
            pushed=flag(pushed),
            forced_open=flag(forced_open),
            actuation_altered=flag(actuation_altered),
            latent=flag(latent),
            invalid_reason=flag(-1 if invalid is None else INVALID_REASONS.index(invalid)),
        )
        for _ in range(count):
            self.tracker.update(facts, intact=flag(not broke))
        return self

    def carried(self) -> Episode:
        """Grasped, lifted and on the way: nine steps."""
        self.steps(3, **HELD)
        self.steps(3, (0.5, -0.25, 0.15), **HELD)
        return self.steps(3, ON_THE_WAY, **HELD)

    @property
    def label(self) -> str | None:
        kind = int(self.tracker.truth.failure_type)
        return None if kind < 0 else FAILURE_TYPES[kind]

    @property
    def phase(self) -> str | None:
        phase = int(self.tracker.truth.failure_phase)
        return None if phase < 0 else PHASES[phase]

    @property
    def step(self) -> int:
        return int(self.tracker.truth.failure_step)

    @property
    def done(self) -> bool:
        return bool(self.tracker.truth.done)

    @property
    def success(self) -> bool:
        return bool(self.tracker.truth.success)

    @property
    def fired(self) -> bool:
        return bool(self.tracker.truth.fault_fired)


@pytest.fixture
def begin() -> type[Episode]:
    """``begin(task, max_steps, goal)`` is an ``Episode``."""
    return Episode
