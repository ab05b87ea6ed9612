"""What agents say that they need, so that whoever runs them need not know their kinds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from flow_rag_vla.agents.agent import Agent, Capabilities, WrappedAgent
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.vision.sighted_agent import SightedAgent


def fleet_agent(remembers: bool) -> FleetAgent:
    """One whose model is never asked for a decision."""
    model = cast(Any, SimpleNamespace(flow=SimpleNamespace(horizon=8)))
    return FleetAgent(model, RetrievalEncoder(), num_envs=2, max_steps=16, execute=8, remembers=remembers)


@pytest.mark.parametrize("remembers", [True, False])
def test_a_policy_acts_on_what_is_sensed_and_remembers_if_it_was_made_to(remembers: bool) -> None:
    assert fleet_agent(remembers).capabilities == Capabilities(remembers=remembers)


def test_a_policy_refuses_to_be_told_the_truth() -> None:
    with pytest.raises(ValueError, match="is not told the truth, got 2 scenarios"):
        fleet_agent(True).tell(["a", "b"])


def test_to_see_is_to_need_pictures_beside_what_the_agent_needs() -> None:
    seeing = SightedAgent(fleet_agent(True), cast(Any, None))
    assert seeing.capabilities == Capabilities(needs_images=True, remembers=True)


def test_what_wraps_an_agent_has_its_capabilities_and_passes_the_truth_on() -> None:
    told = []
    informed = SimpleNamespace(execute=1, capabilities=Capabilities(told_truth=True), tell=told.append)
    wrapped = WrappedAgent(WrappedAgent(cast(Agent, informed)))
    assert wrapped.capabilities == Capabilities(told_truth=True)
    wrapped.tell(["a scenario"])
    assert told == [["a scenario"]]
