"""Senses that read no numbers in one environment, beside others that do."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS, Observation
from flow_rag_vla.tasks.env.sensing import FiniteSenses


def sensed(value: float) -> Observation:
    columns = {name: torch.full((2, width), value) for name, width in OBSERVATION_WIDTHS.items()}
    return Observation(**columns, instruction=("do it", "do that"))


@pytest.mark.parametrize("name", OBSERVATION_WIDTHS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_with_one_reading_that_is_no_number_shows_what_it_last_showed(name, value):
    senses, broken = FiniteSenses(), sensed(2.0)
    senses.kept_finite(sensed(1.0))
    getattr(broken, name)[1, -1] = value
    shown, finite = senses.kept_finite(broken)
    assert finite.tolist() == [True, False]
    for column in OBSERVATION_WIDTHS:
        assert getattr(shown, column)[:, 0].tolist() == [2.0, 1.0], column
    assert shown.instruction == ("do it", "do that")


def test_what_was_shown_last_stays_for_as_long_as_nothing_better_is_read():
    senses = FiniteSenses()
    for value in (1.0, float("nan"), float("nan")):
        shown, _ = senses.kept_finite(sensed(value))
    assert shown.joint_pos[0, 0].item() == 1.0
    assert senses.kept_finite(sensed(4.0))[0].joint_pos[0, 0].item() == 4.0


def test_a_first_reading_that_is_no_number_shows_zeros():
    shown, finite = FiniteSenses().kept_finite(sensed(float("nan")))
    assert not finite.any()
    assert shown.object_quat_b.tolist() == [[0.0] * 4] * 2


def test_finite_readings_are_shown_bit_by_bit_and_without_waiting_for_the_device(waits):
    seen = dataclasses.replace(sensed(-0.0), joint_vel=torch.randn(2, 7))
    senses = FiniteSenses()
    with waits() as waited:
        shown, finite = senses.kept_finite(seen)
    assert waited == []
    assert finite.all()
    assert torch.equal(shown.joint_vel, seen.joint_vel)
    assert torch.signbit(shown.goal_pos_b).all()
