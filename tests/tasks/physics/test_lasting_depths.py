"""What counts as penetration: not what an impact presses in for a moment, but what stays."""

from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.tasks.facts.contact_parameters import CONTACT_TIME_S, SUBSTEP_S
from flow_rag_vla.tasks.physics.sensing_solver import lasting_depths

STEPS = math.ceil(CONTACT_TIME_S / SUBSTEP_S)
"""Substeps for which a depth must last: three."""


def deepest(*rows_mm: float, dt: float = SUBSTEP_S) -> float:
    return float(lasting_depths(torch.tensor(rows_mm).reshape(1, -1, 1), dt))


def test_an_impact_that_is_pushed_out_at_once_is_none():
    assert STEPS == 3
    assert deepest(0.0, 3.4, 2.5, 1.5, 0.7, *[0.0] * 7) == pytest.approx(1.5)


def test_what_stays_in_is_as_deep_as_it_stays():
    assert deepest(0.0, 28.0, 27.0, 26.0, 28.0, 28.0) == pytest.approx(26.0)
    assert deepest(*[0.6] * 12) == pytest.approx(0.6)


def test_what_comes_again_and_again_is_as_deep_as_it_is_on_average():
    assert deepest(0.0, 6.0, 0.0, 6.0, 0.0, 6.0) == pytest.approx(3.0)


def test_the_time_counts_and_not_the_number_of_steps():
    assert deepest(0.0, 3.4, 0.0, 0.0, dt=CONTACT_TIME_S) == pytest.approx(3.4)
    assert deepest(3.4, 3.0, 2.0, 1.0, *[0.0] * 8, dt=CONTACT_TIME_S / 4) == pytest.approx(1.0)


def test_groups_and_environments_are_apart_and_no_substep_has_no_depth():
    depths = torch.zeros(2, 4, 2)
    depths[1, :, 0] = 2.5
    assert lasting_depths(depths, SUBSTEP_S).tolist() == [[0.0, 0.0], [2.5, 0.0]]
    assert lasting_depths(depths[:, :0], SUBSTEP_S).tolist() == [[0.0, 0.0], [0.0, 0.0]]
