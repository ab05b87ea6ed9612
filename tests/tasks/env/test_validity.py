"""Which physics counts as broken, and that the cause goes before its consequences."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.env.validity import invalid_reason

FINE = -1


def _reason(position: tuple[float, float, float], solver: int = FINE, depth_m: float = 0.0) -> str | None:
    index = int(invalid_reason(torch.tensor([solver]), torch.tensor([position]), torch.tensor([depth_m])))
    return None if index == FINE else INVALID_REASONS[index]


def test_an_object_on_the_table_is_fine():
    assert _reason((0.5, -0.25, 0.02)) is None


def test_an_object_below_the_table_top_is_in_the_table():
    assert _reason((0.5, -0.25, -0.03)) == "object_in_table"


def test_an_object_that_fell_off_the_edge_is_a_failure_of_the_policy():
    assert _reason((0.5, 0.65, -0.50)) is None
    assert _reason((1.05, 0.0, -0.50)) is None


def test_a_position_that_is_not_a_number_is_no_state():
    assert _reason((float("nan"), 0.0, 0.0)) == "non_finite_state"
    assert _reason((0.5, float("inf"), 0.0)) == "non_finite_state"


def test_pads_that_sink_deeper_than_two_millimetres_together_held_what_nobody_could():
    assert _reason((0.5, -0.25, 0.1), depth_m=0.0019) is None
    assert _reason((0.5, -0.25, 0.1), depth_m=0.0021) == "penetration"
    assert _reason((0.5, -0.25, -0.03), depth_m=0.0021) == "object_in_table"


def test_what_the_solver_reports_goes_first():
    overflow = INVALID_REASONS.index(InvalidReason.CONSTRAINT_OVERFLOW)
    assert _reason((0.5, -0.25, -0.03), overflow) == "constraint_overflow"
    assert _reason((float("nan"), 0.0, 0.0), overflow) == "constraint_overflow"
