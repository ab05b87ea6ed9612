"""HDF5 trajectories come back from Isaac Lab's own loader."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from flow_rag_vla.tasks.datasets.trajectory import Trajectory

if TYPE_CHECKING:
    from isaaclab.utils.datasets import HDF5DatasetFileHandler

TASK = "FlowRAG-PickPlace-Franka"


@pytest.fixture
def file(tmp_path: Path, episodes: list[Trajectory]) -> Path:
    from flow_rag_vla.tasks.datasets.hdf5_export import Hdf5Writer

    writer = Hdf5Writer(tmp_path, TASK)
    for episode in episodes:
        writer.write(episode)
    assert not (tmp_path / "trajectories.hdf5").exists()  # not before it is complete
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["trajectories.hdf5"]
    return tmp_path / "trajectories.hdf5"


@pytest.fixture
def loader(file: Path) -> Iterator[HDF5DatasetFileHandler]:
    """Isaac Lab's loader with the file open."""
    from isaaclab.utils.datasets import HDF5DatasetFileHandler

    handler = HDF5DatasetFileHandler()
    handler.open(str(file))
    yield handler
    handler.close()


def test_isaac_labs_loader_finds_every_episode_of_the_task(loader):
    assert loader.get_env_name() == TASK
    assert list(loader.get_episode_names()) == ["demo_0", "demo_1"]
    assert loader.get_num_episodes() == 2


def test_isaac_labs_loader_hands_out_actions_and_states_step_by_step(loader, episodes: list[Trajectory]):
    episode = loader.load_episode("demo_1", "cpu")
    for step in range(2):
        np.testing.assert_array_equal(episode.get_next_action(), episodes[1].actions[step])
        state = episode.get_next_state()
        expected = episodes[1].states["rigid_object/object/root_pose"][step]
        np.testing.assert_array_equal(state["rigid_object"]["object"]["root_pose"], [expected])
    assert episode.get_next_action() is None
    assert episode.get_next_state() is None


def test_the_initial_state_has_the_shape_that_isaac_lab_resets_to(loader, episodes: list[Trajectory]):
    state = loader.load_episode("demo_0", "cpu").get_initial_state()
    joints = state["articulation"]["robot"]["joint_position"]
    assert joints.shape == (1, 9)
    np.testing.assert_array_equal(joints, episodes[0].initial_state["articulation/robot/joint_position"])


def test_observations_success_and_seed_come_back(loader, episodes: list[Trajectory]):
    for number, trajectory in enumerate(episodes):
        episode = loader.load_episode(f"demo_{number}", "cpu")
        assert set(episode.data["obs"]) == set(trajectory.observations)
        for name, value in trajectory.observations.items():
            np.testing.assert_array_equal(episode.data["obs"][name], value)
        assert bool(episode.success) is trajectory.labels.success
        assert int(episode.seed) == trajectory.labels.layout_seed


def test_labels_are_attributes_of_their_episode(file: Path, episodes: list[Trajectory]):
    with h5py.File(file) as data:
        assert data["data"].attrs["total"] == 5
        for number, trajectory in enumerate(episodes):
            attributes = data[f"data/demo_{number}"].attrs
            assert attributes["instruction"] == trajectory.instruction
            for name, value in dataclasses.asdict(trajectory.labels).items():
                assert attributes[name] == value
