"""Contact forces and validity after a control step, the same on every Newton preset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isaaclab_newton.physics.newton_manager import NewtonManager

from flow_rag_vla.tasks.physics.sensing_solver import SensingSolver

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.contract import InvalidReason


class ContactForces:
    """Reads the contact groups that the solver configuration names.

    Forces are in newtons in world axes, which are the axes of the robot's base.
    """

    def __init__(self) -> None:
        """Bind to the running simulation's solver.

        Raises:
            ValueError: the physics preset measures no contacts.
        """
        self._solver()

    @staticmethod
    def _solver() -> SensingSolver:
        # Looked up each time: a hard reset of the simulation makes a new solver.
        solver = NewtonManager._solver
        if not isinstance(solver, SensingSolver):
            raise ValueError(
                f"contact forces need the physics presets newton_mujoco or newton_mjwarp, got {type(solver).__name__}"
            )
        return solver

    def _named(self, forces: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: forces[:, i].clone() for i, name in enumerate(self._solver().contact_layout.forces.names)}

    def read(self) -> dict[str, torch.Tensor]:
        """Per group (num_envs, 3): the force of the substep in which it was largest."""
        return self._named(self._solver().peak_forces())

    def mean(self) -> dict[str, torch.Tensor]:
        """Per group (num_envs, 3): the mean force of the control step."""
        return self._named(self._solver().mean_forces())

    def last(self) -> dict[str, torch.Tensor]:
        """Per group (num_envs, 3): the force of the last substep."""
        return self._named(self._solver().last_forces())

    def depths(self) -> dict[str, torch.Tensor]:
        """Per depth group (num_envs,): the deepest that its bodies overlapped for the time constant of contacts, m."""
        return self._depths_named(self._solver().depths())

    def peak_depths(self) -> dict[str, torch.Tensor]:
        """Per depth group (num_envs,): the deepest that its bodies overlapped in any substep, m."""
        return self._depths_named(self._solver().peak_depths())

    def _depths_named(self, depths: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: depths[:, i].clone() for i, name in enumerate(self._solver().contact_layout.depths.names)}

    def leave(self, ended: torch.Tensor) -> None:
        """Say in which environments, (num_envs,) bool, nothing that happens matters any more; they may stand still."""
        self._solver().leave(ended)

    def invalid_reason(self) -> torch.Tensor:
        """(num_envs,) index into ``INVALID_REASONS``: broken state, or contacts dropped in the last control step."""
        return self._solver().invalid_reason()

    def explain(self, reason: InvalidReason) -> str:
        """What ``reason`` means with this solver and which setting to change, in one line."""
        return self._solver().explain(reason)
