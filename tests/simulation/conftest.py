"""A small fleet for each module: a process holds one simulation, so it is closed before others build theirs.

A module that needs fewer environments or shorter episodes says so in a ``FLEET`` of its own: stepping is what costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

TASK = "FlowRAG-PickPlace-Franka"
FLEET = (32, 260)
"""Environments, and control steps of an episode."""


@pytest.fixture(scope="module", autouse=True)
def quick_to_close(frozen_heap: None) -> None:
    """A module's simulations close quickly."""


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[ManipulationEnv]:
    """Pick-and-place environments on the CPU preset, as the module's ``FLEET`` or the one above says."""
    from flow_rag_vla.tasks.env.make import make_fleet

    num_envs, max_steps = getattr(request.module, "FLEET", FLEET)
    env = make_fleet(TASK, num_envs, physics="newton_mujoco", device="cpu", max_steps=max_steps)
    yield env
    env.close()
