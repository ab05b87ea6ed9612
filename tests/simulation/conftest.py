"""A small fleet for each module: a process holds one simulation, so it is closed before others build theirs.

A module that needs fewer environments or shorter episodes says so in a ``FLEET`` of its own: stepping is what costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.faults.definition.fault import Fault

TASK = "FlowRAG-PickPlace-Franka"
FLEET = (32, 260)
"""Environments, and control steps of an episode."""


@pytest.fixture(scope="module", autouse=True)
def quick_to_close(frozen_heap: None) -> None:
    """A module's simulations close quickly."""


@pytest.fixture(scope="session")
def permitted_channels() -> Callable[[Fault], set[str]]:
    """Gives the observation fields whose first value may depend on a fault: those that it makes perceived wrongly."""
    channels = {"object_bias": "object_pos_b", "goal_bias": "goal_pos_b"}
    return lambda fault: {f for prefix, f in channels.items() if any(n.startswith(prefix) for n in fault.effect)}


@pytest.fixture(scope="module")
def fleet(request: pytest.FixtureRequest) -> Iterator[ManipulationEnv]:
    """Pick-and-place environments on the CPU preset, as the module's ``FLEET`` or the one above says."""
    from flow_rag_vla.tasks.env.make import make_fleet

    num_envs, max_steps = getattr(request.module, "FLEET", FLEET)
    env = make_fleet(TASK, num_envs, physics="newton_mujoco", device="cpu", max_steps=max_steps)
    yield env
    env.close()
