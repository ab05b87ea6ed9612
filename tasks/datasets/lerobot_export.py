"""LeRobotDataset v3.0: Parquet frames, episode table, statistics and ``info.json``, without the lerobot package.

The layout is the one that lerobot 0.6 reads (``codebase_version`` v3.0); there are no videos.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads

from flow_rag_vla.tasks.contract import CONTROL_HZ
from flow_rag_vla.tasks.datasets.lerobot_columns import Columns, describe_features, frame_columns, from_arrow, to_table
from flow_rag_vla.tasks.datasets.parquet_files import NAME, ParquetFiles
from flow_rag_vla.tasks.datasets.trajectory import Trajectory

FORMAT_VERSION = "v3.0"
FILE_SIZE_MB = 100
FILES_PER_CHUNK = 1000
EPISODES_PER_GROUP = 256
"""Rows of the episode table that are written together: its hundreds of columns make a row group expensive."""

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


class LeRobotWriter:
    """One row group of frames and one row of the episode table per trajectory."""

    def __init__(self, folder: Path, max_file_bytes: int = FILE_SIZE_MB * 1024**2) -> None:
        """Write below ``folder``; a file that has reached ``max_file_bytes`` is followed by another."""
        self._folder = folder
        self._frames = ParquetFiles(folder / "data", max_file_bytes, FILES_PER_CHUNK)
        self._episodes = ParquetFiles(folder / "meta" / "episodes", max_file_bytes, FILES_PER_CHUNK)
        self._features: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._num_episodes = self._num_frames = 0

    def write(self, trajectory: Trajectory) -> None:
        """Add one episode.

        Raises:
            ValueError: its fields are not those of the episodes before.
        """
        episode, count, start = self._num_episodes, trajectory.num_steps, self._num_frames
        task = self._tasks.setdefault(trajectory.instruction, len(self._tasks))
        columns = frame_columns(trajectory)
        columns["episode_index"] = np.full(count, episode)
        columns["index"] = np.arange(start, start + count)
        columns["task_index"] = np.full(count, task)
        features = describe_features(trajectory, columns)
        if self._features and features != self._features:
            raise ValueError(f"{trajectory.labels.scenario_id}: fields differ from those of the episodes before")
        self._features = features
        data_chunk, data_file = self._frames.next_place()
        self._frames.write(to_table(columns))
        meta_chunk, meta_file = self._episodes.next_place()
        row: dict[str, Any] = {
            "episode_index": episode,
            "tasks": [trajectory.instruction],
            "length": count,
            "data/chunk_index": data_chunk,
            "data/file_index": data_file,
            "dataset_from_index": start,
            "dataset_to_index": start + count,
            "meta/episodes/chunk_index": meta_chunk,
            "meta/episodes/file_index": meta_file,
        }
        row |= {f"label.{name}": value for name, value in dataclasses.asdict(trajectory.labels).items()}
        for name, statistics in column_statistics(columns).items():
            row |= {f"stats/{name}/{key}": value for key, value in statistics.items()}
        self._rows.append(row)
        if len(self._rows) == EPISODES_PER_GROUP:
            self._write_rows()
        self._num_episodes, self._num_frames = episode + 1, start + count

    def _write_rows(self) -> None:
        if self._rows:
            self._episodes.write(pa.Table.from_pylist(self._rows))
        self._rows = []

    def close(self) -> None:
        """Write tasks, statistics and, last, ``info.json``, without which readers refuse the folder."""
        self._write_rows()
        self._frames.close()
        self._episodes.close()
        meta = self._folder / "meta"
        meta.mkdir(parents=True, exist_ok=True)
        index = pd.Index(list(self._tasks), name="task")
        pd.DataFrame({"task_index": list(self._tasks.values())}, index=index).to_parquet(meta / "tasks.parquet")
        _write_json(meta / "stats.json", self._total_statistics())
        _write_json(
            meta / "info.json",
            {
                "codebase_version": FORMAT_VERSION,
                "robot_type": "franka_panda",
                "total_episodes": self._num_episodes,
                "total_frames": self._num_frames,
                "total_tasks": len(self._tasks),
                "chunks_size": FILES_PER_CHUNK,
                "data_files_size_in_mb": FILE_SIZE_MB,
                "fps": int(CONTROL_HZ),
                "splits": {"train": f"0:{self._num_episodes}"},
                "data_path": f"data/{NAME}",
                "video_path": None,
                "features": self._features,
            },
        )

    def _total_statistics(self) -> dict[str, dict[str, list[float]]]:
        """Of all frames, column by column, so that no more than one column is in memory."""
        if self._num_frames == 0:
            return {}
        data = pads.dataset(self._folder / "data", format="parquet")
        total: dict[str, dict[str, list[float]]] = {}
        for name, feature in self._features.items():
            if feature["dtype"] != "string":
                total |= column_statistics({name: from_arrow(data.to_table(columns=[name])[name])})
        return total


def column_statistics(columns: Columns) -> dict[str, dict[str, list[float]]]:
    """Least, greatest, mean, standard deviation, quantiles and count over the frames of each numeric column.

    Returns:
        Column to statistic to k numbers; ``count`` has one.
    """
    found = {}
    for name, column in columns.items():
        if column.dtype.kind == "U":
            continue
        values = column.astype(np.float64).reshape(len(column), -1)
        quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
        found[name] = {
            "min": values.min(axis=0).tolist(),
            "max": values.max(axis=0).tolist(),
            "mean": values.mean(axis=0).tolist(),
            "std": values.std(axis=0).tolist(),
            "count": [len(values)],
            **{key: row.tolist() for key, row in zip(QUANTILES, quantiles, strict=True)},
        }
    return found


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=4, allow_nan=False) + "\n", encoding="utf-8")
