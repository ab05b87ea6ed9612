"""Trajectories refuse what no reader could use."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest


def test_an_episode_without_steps_is_refused(make_trajectory):
    with pytest.raises(ValueError, match="at least one step"):
        make_trajectory(0)


def test_a_field_of_another_length_is_refused_by_name(make_trajectory):
    trajectory = make_trajectory(3)
    with pytest.raises(ValueError, match=r"observations/joint_pos has shape \(2, 7\), expected \(3, k\)"):
        dataclasses.replace(trajectory, observations={"joint_pos": trajectory.observations["joint_pos"][:2]})


@pytest.mark.parametrize("group", ["observations", "states"])
def test_a_value_that_is_not_finite_is_refused_by_name(make_trajectory, group: str):
    trajectory = make_trajectory(3)
    with pytest.raises(ValueError, match=f"{group}/broken holds values that are not finite"):
        dataclasses.replace(trajectory, **{group: {"broken": np.full((3, 2), np.nan, dtype=np.float32)}})
