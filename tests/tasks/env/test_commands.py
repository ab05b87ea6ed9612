"""What an action commands, which shapes and types it may have, and what becomes of one that is no number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M
from flow_rag_vla.tasks.env.commands import checked_actions, commands
from flow_rag_vla.tasks.rl.actions import ACTION_SCALE

BEFORE = torch.tensor([[0.0] * 6 + [-0.5], [0.0] * 6 + [0.25]])
MOVES = [0.01, 0.0, -0.01, 0.1, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.uint8, torch.float32])
def test_numbers_of_every_type_become_float32(dtype):
    actions = checked_actions(torch.ones(2, 7, dtype=dtype), 2)
    assert actions.dtype is torch.float32
    assert torch.equal(actions, torch.ones(2, 7))


@pytest.mark.parametrize(
    ("actions", "got"),
    [
        (torch.zeros(7), "have shape (7,)"),
        (torch.zeros(2, 6), "have shape (2, 6)"),
        (torch.zeros(3, 7), "have shape (3, 7)"),
        (torch.zeros(2, 8, 7), "have shape (2, 8, 7)"),
        (torch.zeros(2, 7, dtype=torch.bool), "have dtype torch.bool"),
        (torch.zeros(2, 7, dtype=torch.complex64), "have dtype torch.complex64"),
        (np.zeros((2, 7)), "are a ndarray"),
        ([[0.0] * 7] * 2, "are a list"),
        (None, "are a NoneType"),
    ],
)
def test_what_is_no_action_is_refused_in_one_line_that_says_what_is_wanted(actions, got):
    with pytest.raises(ValueError, match="actions") as error:
        checked_actions(actions, 2)
    assert str(error.value) == f"actions {got}; expected a tensor of numbers of shape (2, 7)"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("entry", [0, 5, 6])
def test_where_an_entry_is_no_number_pose_and_grip_are_held_and_the_others_move(value, entry):
    actions = torch.tensor([MOVES, MOVES])
    actions[0, entry] = value
    commanded, finite = commands(actions, BEFORE, None)
    assert finite.tolist() == [False, True]
    assert torch.equal(commanded, torch.tensor([[0.0] * 6 + [-0.5], MOVES]))


def test_a_double_too_large_for_a_float_is_no_number():
    _, finite = commands(checked_actions(torch.full((2, 7), 1e300, dtype=torch.float64), 2), BEFORE, None)
    assert finite.tolist() == [False, False]


def test_a_grip_within_the_dead_band_keeps_the_last_one_and_a_larger_one_than_full_is_full():
    commanded, finite = commands(torch.tensor([[0.0] * 6 + [0.04], [0.0] * 6 + [-3.0]]), BEFORE, None)
    assert commanded[:, 6].tolist() == [-0.5, -1.0]
    assert finite.all()


def test_normalised_actions_are_scaled():
    commanded, _ = commands(torch.ones(2, 7), BEFORE, ACTION_SCALE)
    assert commanded[0, 0].item() == pytest.approx(0.6 * MAX_DELTA_POS_M)
