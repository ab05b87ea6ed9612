"""Commands that are executed late, slowly, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.contract import ACTION_DIM, NOMINAL_GRIP
from flow_rag_vla.tasks.faults.definition.parameters import MAX_LATENCY_STEPS

if TYPE_CHECKING:
    from flow_rag_vla.tasks.hazards.state import HazardState


class ActuationHazards:
    """Remembers the latest commands of ``num_envs`` arms, so that they can come late."""

    def __init__(self, num_envs: int, state: HazardState, device: str) -> None:
        """Nothing has been commanded yet."""
        self._state = state
        self._recent = torch.zeros(MAX_LATENCY_STEPS + 1, num_envs, ACTION_DIM, device=device)
        self._rows = torch.arange(num_envs, device=device)
        self.reset(self._rows)

    def reset(self, env_ids: torch.Tensor) -> None:
        """Forget the commands of ``env_ids``: the arm holds still with an open hand."""
        self._recent[:, env_ids] = 0.0
        self._recent[:, env_ids, 6] = NOMINAL_GRIP

    def executed(self, action: torch.Tensor, step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the arms do when ``action`` (num_envs, 7) is commanded in control step ``step`` (num_envs,).

        Returns:
            The executed actions (num_envs, 7), and the mask (num_envs,) of those that differ from the commands.
        """
        self._recent = torch.roll(self._recent, 1, dims=0)
        self._recent[0] = action
        late_by = self._state.value["latency_steps"].long().clamp(0, MAX_LATENCY_STEPS)
        executed = self._recent[late_by, self._rows].clone()
        slow = (self._state.trigger_step >= 0) & (self._state.value["speed_scale"] < 1.0)
        executed[:, :6] *= torch.where(slow, self._state.value["speed_scale"], 1.0).unsqueeze(1)
        stalled = self._state.active("hold_steps", step).unsqueeze(1)
        still = torch.zeros_like(executed)
        # Within the gripper's dead band: it keeps its state.
        executed = torch.where(stalled, still, executed)
        return executed, (executed != action).any(dim=1)
