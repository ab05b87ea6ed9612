"""Hand-made episode records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure, Outcome

E1_SUCCESS = EpisodeRecord(
    arm="flow_only",
    round=0,
    exposure=Exposure.E1,
    scenario_id="s0",
    base_scenario_id="s0",
    attempt=0,
    site=0,
    task="FlowRAG-PickPlace-Franka",
    fault="slippery_object",
    fault_class="avoidable",
    severity=15.0,
    initial_state_sha="0" * 16,
    outcome=Outcome.SUCCESS,
    fault_fired=False,
    failure_type=None,
    failure_phase=None,
    failure_pose_bin=None,
    failure_step=None,
    steps=100,
    peak_obstacle_force_n=0.0,
    peak_grip_force_n=10.0,
    agent_failure_type=None,
    agent_failure_phase=None,
    agent_failure_step=None,
    decisions=13,
    retrievals=0,
    retrieved_type=None,
    candidate=None,
    late_retrievals=0,
)

Factory = Callable[..., EpisodeRecord]


@pytest.fixture
def e1() -> Factory:
    """An E1 success of scenario ``scenario``, changed by keywords."""

    def make(scenario: str, **changes: object) -> EpisodeRecord:
        named = {"scenario_id": scenario, "base_scenario_id": scenario}
        return dataclasses.replace(E1_SUCCESS, **(named | changes))

    return make


@pytest.fixture
def dropped(e1: Factory) -> Factory:
    """An E1 drop while carrying, the fault fired and the agent noticed."""

    def make(scenario: str, **changes: object) -> EpisodeRecord:
        failure = {
            "outcome": "failure",
            "fault_fired": True,
            "failure_type": "drop",
            "failure_phase": "carry",
            "failure_pose_bin": "10,0,4",
            "failure_step": 60,
            "agent_failure_type": "drop",
        }
        return e1(scenario, **(failure | changes))

    return make


@pytest.fixture
def again() -> Factory:
    """The E2 repetition of a record under ``arm``: a success unless keywords say otherwise."""

    def make(first: EpisodeRecord, arm: str, exposure: str = "near", **changes: object) -> EpisodeRecord:
        fresh = {
            "arm": arm,
            "round": 1,
            "exposure": exposure,
            "scenario_id": f"{first.scenario_id}-{exposure}",
            "attempt": 1,
            "outcome": "success",
            "failure_type": None,
            "failure_phase": None,
            "failure_pose_bin": None,
            "failure_step": None,
            "agent_failure_type": None,
        }
        return dataclasses.replace(first, **(fresh | changes))

    return make


SAME = {
    "outcome": "failure",
    "failure_type": "drop",
    "failure_phase": "carry",
    "failure_pose_bin": "10,0,4",
}


@pytest.fixture
def same_failure_fields() -> dict[str, object]:
    """The fields that repeat ``dropped`` exactly."""
    return dict(SAME)
