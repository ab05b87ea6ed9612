"""Hand-made episode records, and a run directory of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
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


MEASURED = {
    "wall_s": 5.0,
    "env_steps_per_s": 1000.0,
    "ms_per_env_decision": 0.5,
    "memory_entries": 7,
    "memory_bytes": 4096,
    "peak_rss_bytes": 1_000_000,
}
IDS = {"e1": "r0-flow_only-00000000", "flow_only": "r1-flow_only-11111111", "parallel": "r1-parallel-22222222"}


def _write_unit(folder: Path, records: list[EpisodeRecord], **measured: object) -> None:
    folder.mkdir(parents=True)
    text = "".join(record.to_json() + "\n" for record in records).encode()
    (folder / "episodes.jsonl").write_bytes(text)
    done = {"episodes": len(records), "sha256": hashlib.sha256(text).hexdigest(), "measured": MEASURED | measured}
    write_json_atomic(folder / "DONE.json", done)


@pytest.fixture
def unscored_run(dropped: Factory, again: Factory, tmp_path: Path) -> Path:
    """A complete run of three units with two episodes each: ``parallel`` resolves both of ``flow_only``'s failures."""
    path = tmp_path / "run"
    first = [dropped("s0"), dropped("s1")]
    units = {
        "e1": first,
        "flow_only": [again(r, "flow_only", **SAME) for r in first],
        "parallel": [again(r, "parallel") for r in first],
    }
    for name, records in units.items():
        memory = {"memory_entries": None, "memory_bytes": None} if name == "flow_only" else {}
        _write_unit(path / "units" / IDS[name], records, **memory)
    rows = [
        {
            "unit": IDS[name],
            "arm": records[0].arm,
            "round": records[0].round,
            "num_envs": 2,
            "episodes": [[r.exposure, r.scenario_id, r.base_scenario_id, r.attempt] for r in records],
        }
        for name, records in units.items()
    ]
    plan = "".join(json.dumps(row) + "\n" for row in [{"scenario": {}, "id": "s0"}, *rows])
    (path / "plan.jsonl").write_text(plan)
    settings = {"task": "FlowRAG-PickPlace-Franka", "physics": "newton_mujoco", "seed": 3}
    manifest = {
        "settings": settings,
        "plan_sha256": hashlib.sha256(plan.encode()).hexdigest(),
        "command": "made by hand",
    }
    write_json_atomic(path / "manifest.json", manifest)
    return path
