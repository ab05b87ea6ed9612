"""Recorded trajectories: whole, true to the simulation, and replayable."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.dataset as pads
import pytest
import torch

from flow_rag_vla.agents.arms.arm import Expert
from flow_rag_vla.benchmark.datasets.export import FORMATS, ExportCounts, export, export_scenarios, make_writer
from flow_rag_vla.tasks.datasets.recording import record_trajectories, scene_state
from flow_rag_vla.tasks.expert.scripted_expert import ScriptedExpert

if TYPE_CHECKING:
    from flow_rag_vla.tasks.datasets.trajectory import Trajectory
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

pytestmark = pytest.mark.sim

TASK = "FlowRAG-PickPlace-Franka"
FLEET = (6, 260)


@pytest.fixture(scope="module")
def scenarios() -> list[Scenario]:
    """Three clean ones and three with a post in the way."""
    return export_scenarios(TASK, "none", 0, 3) + export_scenarios(TASK, "post", 0, 3)


@pytest.fixture(scope="module")
def recorded(fleet: ManipulationEnv, scenarios: list[Scenario]) -> list[Trajectory]:
    """The nominal expert's episodes."""
    trajectories = record_trajectories(fleet, scenarios, ScriptedExpert(fleet.num_envs).act)
    return [t for t in trajectories if t is not None]


def test_every_scenario_gives_a_trajectory_with_its_outcome(recorded, scenarios):
    assert [t.labels.scenario_id for t in recorded] == [s.id for s in scenarios]
    assert [t.labels.success for t in recorded] == [True] * 3 + [False] * 3
    assert [t.labels.failure_type for t in recorded] == ["none"] * 3 + ["collision"] * 3


def test_a_trajectory_ends_with_the_step_that_ended_its_episode(recorded):
    for trajectory in recorded[3:]:
        assert trajectory.labels.failure_step == trajectory.num_steps  # a collision ends the episode
    assert len({t.num_steps for t in recorded}) > 1


def test_the_previous_action_of_a_frame_is_the_action_of_the_frame_before(recorded):
    for trajectory in recorded:
        np.testing.assert_array_equal(trajectory.observations["previous_action"][1:], trajectory.actions[:-1])


def test_replaying_the_recorded_actions_gives_the_recorded_states(fleet: ManipulationEnv, recorded, scenarios):
    padded = [*scenarios, *[scenarios[0]] * (fleet.num_envs - len(scenarios))]
    fleet.load(padded, [0] * fleet.num_envs)
    start = scene_state(fleet)
    for i, trajectory in enumerate(recorded):
        for path, value in trajectory.initial_state.items():
            np.testing.assert_array_equal(start[path][i : i + 1].numpy(), value)
    shortest = min(t.num_steps for t in recorded)
    for step in range(shortest):
        actions = [torch.from_numpy(t.actions[step]) for t in recorded]
        fleet.step(torch.stack([*actions, *[actions[0]] * (fleet.num_envs - len(actions))]))
    now = scene_state(fleet)
    for i, trajectory in enumerate(recorded):
        for path, value in trajectory.states.items():
            np.testing.assert_array_equal(now[path][i].numpy(), value[shortest - 1], err_msg=path)


def test_an_episode_with_broken_physics_gives_no_trajectory(fleet: ManipulationEnv, scenarios, monkeypatch):
    truth = type(fleet).truth

    def with_second_broken(env):
        found = truth.__get__(env)
        return dataclasses.replace(found, invalid=torch.arange(env.num_envs) == 1)

    monkeypatch.setattr(type(fleet), "truth", property(with_second_broken))
    monkeypatch.setattr(fleet.cfg, "episode_length_s", 2 / 30)
    trajectories = record_trajectories(fleet, scenarios[:3], lambda seen: torch.zeros(fleet.num_envs, 7))
    assert [t is None for t in trajectories] == [False, True, False]


def test_more_scenarios_than_environments_are_refused(fleet: ManipulationEnv, scenarios):
    with pytest.raises(ValueError, match="for as many environments, got 7"):
        record_trajectories(fleet, [*scenarios, scenarios[0]], ScriptedExpert(fleet.num_envs).act)


@pytest.mark.parametrize(("expert", "file_format"), list(zip(Expert, FORMATS, strict=True)))
def test_an_export_in_batches_holds_every_episode_once(
    fleet: ManipulationEnv, tmp_path: Path, expert: Expert, file_format: str
):
    scenarios = export_scenarios(TASK, "post", 0, fleet.num_envs + 2)
    writer = make_writer(file_format, tmp_path, TASK)
    counts = export(fleet, scenarios, expert, writer, io.StringIO())
    succeeded = len(scenarios) if expert == "informed" else 0
    assert counts == ExportCounts(succeeded=succeeded, failed=len(scenarios) - succeeded, invalid=0)
    ids = [s.id for s in scenarios]
    if file_format == "lerobot":
        table = pads.dataset(tmp_path / "meta" / "episodes", format="parquet").to_table(["label.scenario_id"])
        assert table["label.scenario_id"].to_pylist() == ids
    else:
        import h5py

        with h5py.File(tmp_path / "trajectories.hdf5") as file:
            assert [file[f"data/demo_{i}"].attrs["scenario_id"] for i in range(len(ids))] == ids
