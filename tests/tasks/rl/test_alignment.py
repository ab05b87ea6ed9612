"""The turn that is missing for a grasp, for hands and objects turned by known angles."""

from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.tasks.facts.rotation import quat_multiply
from flow_rag_vla.tasks.rl.alignment import missing_turn

DOWN = torch.tensor([[1.0, 0.0, 0.0, 0.0]])


def about_vertical(degrees: float) -> torch.Tensor:
    half = math.radians(degrees) / 2
    return torch.tensor([[0.0, 0.0, math.sin(half), math.cos(half)]])


@pytest.mark.parametrize(
    ("hand_deg", "object_deg", "missing_deg"),
    [(0, 0, 0), (0, 30, 30), (30, 0, -30), (20, 50, 30), (0, 180, 0), (0, 150, -30), (-60, 60, -60)],
)
def test_the_missing_turn_is_the_shorter_way_to_either_end(hand_deg, object_deg, missing_deg):
    hand = quat_multiply(about_vertical(hand_deg), DOWN)
    missing = missing_turn(hand, about_vertical(object_deg))
    assert missing.item() == pytest.approx(math.sin(math.radians(missing_deg)), abs=1e-6)
