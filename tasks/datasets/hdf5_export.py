"""HDF5 trajectories, written with the classes that Isaac Lab's recorder writes with and its loader reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import torch
from isaaclab.utils.datasets import EpisodeData, HDF5DatasetFileHandler

from flow_rag_vla.tasks.contract import CONTROL_HZ
from flow_rag_vla.tasks.datasets.trajectory import EpisodeLabels, Trajectory

FILE_NAME = "trajectories.hdf5"


class Hdf5Writer:
    """``data/demo_N`` with ``actions``, ``obs/*``, ``initial_state/*`` and ``states/*``; labels are its attributes."""

    def __init__(self, folder: Path, task: str) -> None:
        """Write ``folder/trajectories.hdf5`` of the gym id ``task``."""
        self._path = folder / FILE_NAME
        self._partial = folder / "trajectories.partial.hdf5"
        self._notes: list[tuple[EpisodeLabels, str]] = []
        self._handler = HDF5DatasetFileHandler()
        self._handler.create(str(self._partial), env_name=task)
        self._handler.add_env_args({"control_hz": CONTROL_HZ})

    def write(self, trajectory: Trajectory) -> None:
        """Add one episode."""
        episode = EpisodeData()
        # HDF5 makes the groups that these paths name.
        arrays = {"actions": trajectory.actions}
        arrays |= {f"obs/{name}": value for name, value in trajectory.observations.items()}
        arrays |= {f"initial_state/{path}": value for path, value in trajectory.initial_state.items()}
        arrays |= {f"states/{path}": value for path, value in trajectory.states.items()}
        episode.data = {path: torch.from_numpy(value) for path, value in arrays.items()}
        episode.seed = trajectory.labels.layout_seed
        episode.success = trajectory.labels.success
        self._handler.write_episode(episode)
        self._notes.append((trajectory.labels, trajectory.instruction))

    def close(self) -> None:
        """Add the labels, which Isaac Lab's handler has no place for, and give the file its name."""
        self._handler.close()
        with h5py.File(self._partial, "r+") as file:
            for number, (labels, instruction) in enumerate(self._notes):
                attributes = file[f"data/demo_{number}"].attrs
                attributes["instruction"] = instruction
                for name, value in dataclasses.asdict(labels).items():
                    # An enumeration's member is a string to Python, but not to HDF5.
                    attributes[name] = str(value) if isinstance(value, str) else value
        self._partial.replace(self._path)
