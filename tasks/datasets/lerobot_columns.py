"""The columns of a LeRobot dataset: what a trajectory becomes, frame by frame, and how the dataset declares it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa

from flow_rag_vla.tasks.contract import CONTROL_HZ
from flow_rag_vla.tasks.datasets.trajectory import Trajectory

ROBOT_FIELDS: tuple[str, ...] = (
    "joint_pos", "joint_vel", "ee_pos_b", "ee_quat_b", "ee_target_pos_b", "ee_target_quat_b", "gripper_width_m",
    "grip_force_n", "hand_force_b", "link_force_b", "previous_action",
)  # fmt: skip
"""Sensed fields that make up ``observation.state``; the others make up ``observation.environment_state``."""

ACTION_NAMES: tuple[str, ...] = ("dx_m", "dy_m", "dz_m", "rx_rad", "ry_rad", "rz_rad", "grip")

_AXES: dict[str, tuple[str, ...]] = {
    "_quat_b": ("x", "y", "z", "w"),
    "_pos_b": ("x", "y", "z"),
    "_force_b": ("x", "y", "z"),
    "_size_m": ("x", "y", "z"),
    "_rgb": ("r", "g", "b"),
}

Columns = dict[str, np.ndarray]
"""Column name to one row per frame: (T,) of any type or (T, k) float32."""


def frame_columns(trajectory: Trajectory) -> Columns:
    """Everything a frame holds but the indices that depend on the rest of the dataset."""
    seen, labels = trajectory.observations, dataclasses.asdict(trajectory.labels)
    frames = np.arange(trajectory.num_steps)
    last = frames == trajectory.num_steps - 1
    robot = [value for name, value in seen.items() if name in ROBOT_FIELDS]
    world = [value for name, value in seen.items() if name not in ROBOT_FIELDS]
    columns = {"observation.state": np.concatenate(robot, axis=1)}
    if world:
        columns["observation.environment_state"] = np.concatenate(world, axis=1)
    columns |= {f"observation.{name}": value for name, value in seen.items()}
    columns["action"] = trajectory.actions
    columns["next.success"] = last & trajectory.labels.success
    columns["next.done"] = last
    columns |= {f"label.{name}": np.full(len(frames), value) for name, value in labels.items()}
    columns["timestamp"] = (frames / CONTROL_HZ).astype(np.float32)
    columns["frame_index"] = frames
    # A column of width 1 is a plain number to LeRobot.
    return {name: value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value for name, value in columns.items()}


def describe_features(trajectory: Trajectory, columns: Columns) -> dict[str, dict[str, Any]]:
    """The ``features`` of ``meta/info.json``: dtype, shape and dimension names of every column."""
    names = {f"observation.{name}": _dimension_names(name, v.shape[1]) for name, v in trajectory.observations.items()}
    robot = [n for field in trajectory.observations if field in ROBOT_FIELDS for n in names[f"observation.{field}"]]
    world = [n for field in trajectory.observations if field not in ROBOT_FIELDS for n in names[f"observation.{field}"]]
    names |= {"observation.state": robot, "observation.environment_state": world, "action": list(ACTION_NAMES)}
    return {
        name: {
            "dtype": "string" if value.dtype.kind == "U" else value.dtype.name,
            "shape": list(value.shape[1:]) or [1],
            "names": names.get(name),
        }
        for name, value in columns.items()
    }


def to_table(columns: Columns) -> pa.Table:
    """Columns as Arrow: (T, k) becomes lists of fixed length k, as LeRobot declares them."""
    return pa.table(
        {
            name: pa.FixedSizeListArray.from_arrays(pa.array(value.ravel()), value.shape[1])
            if value.ndim == 2
            else pa.array(value)
            for name, value in columns.items()
        }
    )


def from_arrow(column: pa.ChunkedArray) -> np.ndarray:
    """A numeric column that ``to_table`` made, as (T,) or (T, k)."""
    values = column.combine_chunks()
    if isinstance(values, pa.FixedSizeListArray):
        return values.flatten().to_numpy().reshape(len(values), -1)
    return values.to_numpy(zero_copy_only=False)


def _dimension_names(field: str, width: int) -> list[str]:
    if field == "previous_action":
        return [f"{field}.{name}" for name in ACTION_NAMES]
    for suffix, axes in _AXES.items():
        if field.endswith(suffix) and len(axes) == width:
            return [f"{field}.{axis}" for axis in axes]
    return [field] if width == 1 else [f"{field}.{i}" for i in range(width)]
