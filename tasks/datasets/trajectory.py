"""A recorded episode: what was sensed, commanded and simulated in each control step, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

NO_FAILURE = "none"
"""Failure type and phase of an episode in which nothing went wrong; also the fault of a clean one."""


@dataclass(frozen=True)
class EpisodeLabels:
    """Truth about one episode and the situation that it met; for analysis and selection, never a policy's input."""

    scenario_id: str
    task: str
    """Gym id."""
    site: int
    layout_seed: int
    fault: str
    fault_class: str
    severity: float
    """In the fault's own unit; 0 on clean scenarios."""
    success: bool
    fault_fired: bool
    failure_type: str
    """Of the first causal event, also where the episode recovered from it; ``none`` where nothing went wrong."""
    failure_phase: str
    failure_step: int
    """Actions taken when the first causal event was there (its frame and one), -1 where nothing went wrong."""


@dataclass(frozen=True)
class Trajectory:
    """``T`` control steps, from the first observation to the step that ended the episode; float32.

    Raises:
        ValueError: no steps, an entry of another length or shape, or a value that is not finite.
    """

    observations: dict[str, np.ndarray]
    """Field of ``contract.Observation`` to (T, k): what was sensed before each action."""
    actions: np.ndarray
    """(T, 7) commanded actions."""
    initial_state: dict[str, np.ndarray]
    """Path in Isaac Lab's scene state, such as ``articulation/robot/joint_position``, to (1, k)."""
    states: dict[str, np.ndarray]
    """The same paths to (T, k): the state of the scene after each action, relative to the environment's origin."""
    instruction: str
    labels: EpisodeLabels

    def __post_init__(self) -> None:
        """Refuse what no reader could use."""
        if self.num_steps == 0:
            raise ValueError(f"{self.labels.scenario_id}: a trajectory needs at least one step")
        entries = {"actions": self.actions}
        for group in ("observations", "states"):
            entries |= {f"{group}/{name}": value for name, value in getattr(self, group).items()}
        for name, value in entries.items():
            if value.ndim != 2 or len(value) != self.num_steps:
                raise ValueError(
                    f"{self.labels.scenario_id}: {name} has shape {value.shape}, expected ({self.num_steps}, k)"
                )
            if not np.isfinite(value).all():
                raise ValueError(f"{self.labels.scenario_id}: {name} holds values that are not finite")

    @property
    def num_steps(self) -> int:
        """``T``."""
        return len(self.actions)


class TrajectoryWriter(Protocol):
    """Writes trajectories of one task to a folder, one after the other."""

    def write(self, trajectory: Trajectory) -> None:
        """Add one episode."""

    def close(self) -> None:
        """Complete the dataset; before that, readers refuse it."""
