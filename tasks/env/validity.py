"""Whether an episode's physics can be trusted: what the solver reports, and bodies that sank into one another."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.facts.contact_parameters import MAX_PENETRATION_M

SUNK_M = -0.02
"""An object whose centre is below this level under the table top has gone through it: bad physics, no failure."""

_TABLE_HALF_M = (0.5, 0.6)
_TABLE_CENTRE_X_M = 0.5
_EDGE_MARGIN_M = 0.05


def invalid_reason(
    solver_reason: torch.Tensor,
    object_pos_b: torch.Tensor,
    penetration_m: torch.Tensor,
    max_penetration_m: float = MAX_PENETRATION_M,
) -> torch.Tensor:
    """(num_envs,) index into ``INVALID_REASONS``, -1 where the physics holds.

    Args:
        solver_reason: (num_envs,) what the solver reports, which goes first: it is what sinks objects.
        object_pos_b: (num_envs, 3) object centre, m.
        penetration_m: (num_envs,) how deep both finger pads together sink into the object, m.
        max_penetration_m: How deep they may.
    """
    reason = solver_reason.clone()
    for why, where in (
        (InvalidReason.NON_FINITE_STATE, ~torch.isfinite(object_pos_b).all(dim=1)),
        (InvalidReason.OBJECT_IN_TABLE, _sunk(object_pos_b)),
        (InvalidReason.PENETRATION, penetration_m > max_penetration_m),
    ):
        reason[(reason < 0) & where] = INVALID_REASONS.index(why)
    return reason


def _sunk(object_pos_b: torch.Tensor) -> torch.Tensor:
    """(num_envs,) bool: the object is inside or under the table, away from its edges."""
    over_x = (object_pos_b[:, 0] - _TABLE_CENTRE_X_M).abs() < _TABLE_HALF_M[0] - _EDGE_MARGIN_M
    over_y = object_pos_b[:, 1].abs() < _TABLE_HALF_M[1] - _EDGE_MARGIN_M
    return over_x & over_y & (object_pos_b[:, 2] < SUNK_M)
