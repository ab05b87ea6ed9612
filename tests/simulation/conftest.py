"""A small fleet for each module: a process holds one simulation, so it is closed before others build theirs.

A module that needs fewer environments or shorter episodes says so in a ``FLEET`` of its own: stepping is what costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
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


class NoReports:
    """The report has tests of its own."""

    def build(self, run_dir: Path) -> Path:
        return run_dir

    def table(self, run_dir: Path) -> str:
        return str(run_dir)


@pytest.fixture
def no_reports(monkeypatch: pytest.MonkeyPatch) -> NoReports:
    """A reporter for a whole run without what nobody looks at: no stills, and single decisions timed but twice."""
    from flow_rag_vla.benchmark.policies import probe
    from flow_rag_vla.benchmark.run import carry_out, decision_times

    monkeypatch.setattr(carry_out, "render_stills", lambda run_dir, console: None)
    for module in (probe, decision_times):
        monkeypatch.setattr(module, "WARM_UP", 1)
        monkeypatch.setattr(module, "EPISODES", 2)
    return NoReports()
