"""Which physics counts as broken, and that the cause goes before its consequences."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.env.validity import OUTSIDE_PHYSICS, Validity, explanations

FINE = -1


def _reasons(
    *positions: tuple[float, float, float], solver: int = FINE, depth_m: float = 0.0, force_n: float = 0.0
) -> list[str | None]:
    """Of an episode whose object is at ``positions`` after one control step each."""
    validity, reasons = Validity(1, "cpu"), []
    for step, position in enumerate(positions):
        measured = (torch.tensor([position]), torch.tensor([depth_m]), torch.tensor([force_n]))
        index = int(validity.reason(torch.tensor([step == 0]), torch.tensor([solver]), *measured))
        reasons.append(None if index == FINE else INVALID_REASONS[index])
    return reasons


def _reason(
    position: tuple[float, float, float], solver: int = FINE, depth_m: float = 0.0, force_n: float = 0.0
) -> str | None:
    return _reasons(position, solver=solver, depth_m=depth_m, force_n=force_n)[0]


def test_an_object_on_the_table_is_fine():
    assert _reason((0.5, -0.25, 0.02)) is None


def test_an_object_below_the_table_top_is_in_the_table():
    assert _reason((0.5, -0.25, -0.03)) == "object_in_table"


def test_an_object_that_fell_off_the_edge_is_a_failure_of_the_policy():
    assert _reason((0.5, 0.65, -0.50)) is None
    assert _reason((1.05, 0.0, -0.50)) is None


def test_an_object_that_fell_off_the_edge_may_drift_under_the_table():
    assert _reasons((0.5, -0.58, 0.02), (0.5, -0.62, -0.03), (0.5, -0.57, -0.4), (0.5, -0.54, -0.9)) == [None] * 4


def test_an_object_that_went_through_the_table_stays_where_nothing_can_be():
    assert _reasons((0.5, -0.25, 0.02), (0.5, -0.25, -0.15), (0.5, -0.25, -0.9))[1:] == ["object_in_table"] * 2


def test_the_next_episode_knows_nothing_of_what_fell_off_in_the_last():
    validity, fine = Validity(1, "cpu"), torch.zeros(1)
    starts, goes_on, solver = torch.tensor([True]), torch.tensor([False]), torch.tensor([FINE])
    for first, position, reason in (
        (starts, (0.5, -0.62, -0.03), FINE),
        (goes_on, (0.5, -0.54, -0.9), FINE),
        (starts, (0.5, -0.25, -0.15), INVALID_REASONS.index(InvalidReason.OBJECT_IN_TABLE)),
    ):
        assert int(validity.reason(first, solver, torch.tensor([position]), fine, fine)) == reason


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


def test_a_depth_or_a_force_that_is_not_a_number_is_no_state_either():
    assert _reason((0.5, -0.25, 0.02), depth_m=float("nan")) == "non_finite_state"
    assert _reason((0.5, -0.25, 0.02), force_n=float("inf")) == "non_finite_state"


def test_what_no_setting_of_the_physics_is_to_blame_for_is_explained_without_asking_the_solver():
    reasons = torch.tensor([FINE, *(INVALID_REASONS.index(r) for r in (*OUTSIDE_PHYSICS, InvalidReason.PENETRATION))])
    texts = explanations(reasons, lambda reason: f"the solver says {reason}")
    assert texts[0] is None
    assert [(text or "").split(":")[0] for text in texts[1:3]] == ["non-finite observation", "non-finite action"]
    assert texts[3] == "the solver says penetration"
    assert all("\n" not in text for text in OUTSIDE_PHYSICS.values())
