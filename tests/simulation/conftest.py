"""A small fleet for each module: a process holds one simulation, so it is closed before others build theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

NUM_ENVS = 32
TASK = "FlowRAG-PickPlace-Franka"


@pytest.fixture(scope="module")
def fleet() -> Iterator[ManipulationEnv]:
    """32 pick-and-place environments on the CPU preset."""
    from flow_rag_vla.tasks.env.make import make_fleet

    env = make_fleet(TASK, NUM_ENVS, physics="newton_mujoco", device="cpu", max_steps=260)
    yield env
    env.close()
