"""Normalised actions become physical ones, inside the limits."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.tasks.contract import ACTION_DIM, MAX_DELTA_POS_M, MAX_DELTA_ROT_RAD
from flow_rag_vla.tasks.rl.actions import ACTION_SCALE, effort, physical_actions


def test_one_is_the_same_share_of_every_speed_limit_and_full_grip_with_the_hand_pointing_down():
    full = physical_actions(torch.ones(1, ACTION_DIM), ACTION_SCALE)
    limits = [MAX_DELTA_POS_M] * 3 + [0.0, 0.0, MAX_DELTA_ROT_RAD]
    torch.testing.assert_close(full, torch.tensor([[0.6 * limit for limit in limits] + [1.0]]))


def test_actions_beyond_one_are_clipped():
    wild = torch.tensor([[5.0, -5.0, 0.5, 1.0, 1.0, -9.0, -3.0]])
    tame = torch.tensor([[1.0, -1.0, 0.5, 1.0, 1.0, -1.0, -1.0]])
    assert torch.equal(physical_actions(wild, ACTION_SCALE), physical_actions(tame, ACTION_SCALE))


def test_effort_is_one_at_full_speed_along_and_about_every_axis_and_ignores_grip():
    full = torch.tensor([[MAX_DELTA_POS_M] * 3 + [MAX_DELTA_ROT_RAD] * 3 + [-1.0]])
    assert effort(full).item() == pytest.approx(1.0)
    assert effort(torch.tensor([[0.0] * 6 + [1.0]])).item() == 0.0
    assert effort(full * torch.tensor([1.0, 0, 0, 0, 0, 0, 0])).item() == pytest.approx(1 / 6)
