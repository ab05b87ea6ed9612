"""What a detector says when it notices failures."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from flow_rag_vla.agents.agent import where_rows
from flow_rag_vla.tasks.contract import NOTHING


@dataclass(frozen=True)
class FailureAlarm:
    """What was noticed, one row per environment."""

    mask: torch.Tensor
    """(num_envs,) bool: a failure was noticed."""
    failure_type: torch.Tensor
    """(num_envs,) int64 index into ``FAILURE_TYPES``, -1 without an alarm."""
    phase: torch.Tensor
    """(num_envs,) int64 index into ``PHASES``, -1 without an alarm."""
    link_contact: torch.Tensor
    """(num_envs,) bool: a collision was felt more strongly on the arm's links than on the hand."""
    load_n: torch.Tensor
    """(num_envs,) largest smoothed downward pull on the hand during the last grasp, N."""
    step: torch.Tensor
    """(num_envs,) int64 control step, counted from the reset, -1 without an alarm."""
    missed: torch.Tensor
    """(num_envs,) bool: a failed grasp that never held anything."""
    side_y: torch.Tensor
    """(num_envs,) evidence (``contact_side``) of the side on which the hand last stood on the object, 0 for none."""
    offset_y_m: torch.Tensor
    """(num_envs,) object minus goal along y, m, where a released object is off the goal, else 0."""
    tilt: torch.Tensor
    """(num_envs,) sine of the steepest pitch of the object's long axis in the last grasp, below 0: +x end down."""

    @classmethod
    def none(cls, num_envs: int, device: str = "cpu") -> FailureAlarm:
        """No alarm anywhere."""
        flag = torch.zeros(num_envs, dtype=torch.bool, device=device)
        index = torch.full((num_envs,), NOTHING, dtype=torch.long, device=device)
        load, side, offset, tilt = (torch.zeros(num_envs, device=device) for _ in range(4))
        return cls(flag, index, index.clone(), flag.clone(), load, index.clone(), flag.clone(), side, offset, tilt)

    def where(self, rows: torch.Tensor, other: FailureAlarm) -> FailureAlarm:
        """``other`` in ``rows`` (num_envs,) bool, this elsewhere."""
        return where_rows(rows, other, self)
