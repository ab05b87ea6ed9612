"""The contract between a fleet of environments and the loops that play episodes in it; loads no simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from flow_rag_vla.tasks.assets.camera import Appearance
    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.contract import EpisodeTruth, Observation
    from flow_rag_vla.tasks.scenarios.scenario import Scenario


class Fleet(Protocol):
    """``num_envs`` environments of one task that step together, each through an episode of its own.

    An episode that has ended stays ended until the next ``load``; whether its world goes on moving is the engine's.
    """

    @property
    def num_envs(self) -> int:
        """Environments, and with them rows of every batch."""
        ...

    @property
    def device(self) -> torch.device | str:
        """Where all tensors are."""
        ...

    @property
    def max_episode_length(self) -> int:
        """Control steps after which an episode has timed out."""
        ...

    @property
    def task(self) -> Task:
        """What is to be done in all environments."""
        ...

    def load(self, scenarios: Sequence[Scenario], attempts: Sequence[int]) -> Observation:
        """Start one planned episode per environment and return the first observation.

        Args:
            scenarios: num_envs of them.
            attempts: num_envs numbers, how often each scenario has been met before; they name the noise streams.

        Raises:
            ValueError: not one scenario and attempt per environment.
        """
        ...

    def step(self, action: torch.Tensor, /) -> object:
        """Carry out ``action`` (num_envs, 7) for one control step: m, rad and grip as in ``contract.ACTION_DIM``."""
        ...

    def observe(self, *, images: bool = False, appearance: Appearance | None = None) -> Observation:
        """What the robots sense now; the same object until the next step.

        Args:
            images: Render the camera's pictures too, (num_envs, height, width, 3) uint8; costs more than a step.
            appearance: Randomises how the pictures look.

        Raises:
            ValueError: pictures are asked for and there is no camera.
        """
        ...

    @property
    def done(self) -> torch.Tensor:
        """(num_envs,) bool: episodes that have ended."""
        ...

    @property
    def truth(self) -> EpisodeTruth:
        """What the simulator knows of the episodes so far, (num_envs,) columns; for metrics, never for agents."""
        ...

    def initial_state_shas(self) -> list[str]:
        """num_envs hashes of the joint and object states, to prove after ``load`` that arms start alike."""
        ...

    def explain_invalid(self) -> list[str | None]:
        """num_envs reasons why an episode says nothing and what to look at; None where it says something."""
        ...

    def close(self) -> None:
        """Free the process for its next simulation."""
        ...
