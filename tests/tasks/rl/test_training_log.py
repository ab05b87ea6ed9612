"""The training log counts the last ended episode of each environment."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.rl.training_log import LIFTED_M, TrainingLog


def flags(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


HIGH, LOW = LIFTED_M + 0.01, LIFTED_M - 0.01
SUCCESS, LIFTED = "Episode/success_share", "Episode/lifted_share"


def test_nothing_is_said_before_an_episode_has_ended():
    log = TrainingLog(2, "cpu")
    idle = flags(0, 0)
    assert log.update(raised_m=torch.tensor([HIGH, LOW]), held=flags(1, 1), success=idle, ended=idle) == {}


def test_only_environments_whose_episode_has_ended_count():
    log = TrainingLog(4, "cpu")
    heights = torch.tensor([HIGH, HIGH, LOW, LOW])
    held, none = flags(1, 0, 1, 0), flags(0, 0, 0, 0)
    log.update(raised_m=heights, held=held, success=none, ended=none)
    shares = log.update(raised_m=heights * 0, held=none, success=flags(1, 0, 0, 1), ended=flags(1, 1, 1, 0))
    assert shares == {SUCCESS: 1 / 3, LIFTED: 1 / 3}  # an object thrown up, not held, was not lifted


def test_a_lift_does_not_count_for_the_next_episode():
    log = TrainingLog(1, "cpu")
    up, down = torch.tensor([HIGH]), torch.tensor([0.0])
    log.update(raised_m=up, held=flags(1), success=flags(0), ended=flags(0))
    assert log.update(raised_m=down, held=flags(0), success=flags(1), ended=flags(1)) == {SUCCESS: 1.0, LIFTED: 1.0}
    assert log.update(raised_m=down, held=flags(0), success=flags(0), ended=flags(0)) == {SUCCESS: 1.0, LIFTED: 1.0}
    assert log.update(raised_m=down, held=flags(0), success=flags(0), ended=flags(1)) == {SUCCESS: 0.0, LIFTED: 0.0}
