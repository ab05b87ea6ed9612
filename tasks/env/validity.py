"""Whether an episode can be trusted: what the solver reports, bodies that sank into one another, and what it means."""

from __future__ import annotations

from collections.abc import Callable

import torch

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.facts.contact_parameters import MAX_PENETRATION_M

SUNK_M = -0.02
"""An object whose centre is below this level under the table top has gone through it: bad physics, no failure."""

OUTSIDE_PHYSICS = {
    InvalidReason.NON_FINITE_OBSERVATION: "non-finite observation: a sensor read NaN or infinity although the joints' "
    "state is finite; the scenario's fault and sizes decide what sensors read",
    InvalidReason.NON_FINITE_ACTION: "non-finite action: the policy's output had NaN or infinity; it was not carried "
    "out, and the episode ended there; look at the policy's weights and runtime",
}
"""Reasons that no setting of the physics is to blame for, in one line."""

_TABLE_HALF_M = (0.5, 0.6)
_TABLE_CENTRE_X_M = 0.5
_EDGE_MARGIN_M = 0.05


class Validity:
    """Judges each control step of a fleet; knows which objects have fallen off the table's edges."""

    def __init__(self, num_envs: int, device: str, max_penetration_m: float = MAX_PENETRATION_M) -> None:
        """Nothing has fallen; both finger pads together may sink ``max_penetration_m`` into the object."""
        self._max_penetration_m = max_penetration_m
        self._fell_off = torch.zeros(num_envs, dtype=torch.bool, device=device)

    def reason(
        self,
        first_step: torch.Tensor,
        solver_reason: torch.Tensor,
        object_pos_b: torch.Tensor,
        penetration_m: torch.Tensor,
        obstacle_force_n: torch.Tensor,
    ) -> torch.Tensor:
        """(num_envs,) index into ``INVALID_REASONS``, -1 where the physics holds.

        Args:
            first_step: (num_envs,) bool, of an episode.
            solver_reason: (num_envs,) what the solver reports, which goes first: it is what sinks objects.
            object_pos_b: (num_envs, 3) object centre, m.
            penetration_m: (num_envs,) how deep both finger pads together sink into the object, m.
            obstacle_force_n: (num_envs,) force between the obstacle and the robot or what it carries.
        """
        sunk, over_table = object_pos_b[:, 2] < SUNK_M, _over_table(object_pos_b)
        # What fell off an edge may drift under the table: it came there by the way that things fall.
        self._fell_off = (self._fell_off & ~first_step) | (sunk & ~over_table)
        reason = solver_reason.clone()
        measured = torch.cat([object_pos_b, penetration_m.unsqueeze(1), obstacle_force_n.unsqueeze(1)], dim=1)
        for why, where in (
            (InvalidReason.NON_FINITE_STATE, ~torch.isfinite(measured).all(dim=1)),
            (InvalidReason.OBJECT_IN_TABLE, sunk & over_table & ~self._fell_off),
            (InvalidReason.PENETRATION, penetration_m > self._max_penetration_m),
        ):
            reason[(reason < 0) & where] = INVALID_REASONS.index(why)
        return reason


def explanations(reasons: torch.Tensor, of_physics: Callable[[InvalidReason], str]) -> list[str | None]:
    """What each of ``reasons`` (num_envs,) means and where to look, in one line; None where there is none.

    ``of_physics`` knows the settings of the solver.
    """
    words = [None if index < 0 else InvalidReason(INVALID_REASONS[index]) for index in reasons.tolist()]
    return [None if word is None else OUTSIDE_PHYSICS.get(word) or of_physics(word) for word in words]


def _over_table(object_pos_b: torch.Tensor) -> torch.Tensor:
    """(num_envs,) bool: over or under the table top, away from its edges."""
    over_x = (object_pos_b[:, 0] - _TABLE_CENTRE_X_M).abs() < _TABLE_HALF_M[0] - _EDGE_MARGIN_M
    return over_x & (object_pos_b[:, 1].abs() < _TABLE_HALF_M[1] - _EDGE_MARGIN_M)
