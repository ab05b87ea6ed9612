"""LeRobot datasets: hand-made episodes come back from the files number by number."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from flow_rag_vla.tasks.contract import Observation
from flow_rag_vla.tasks.datasets.lerobot_columns import ROBOT_FIELDS
from flow_rag_vla.tasks.datasets.lerobot_export import LeRobotWriter
from flow_rag_vla.tasks.datasets.trajectory import Trajectory


def write(folder: Path, episodes: list[Trajectory], max_file_bytes: int = 10**6) -> Path:
    writer = LeRobotWriter(folder, max_file_bytes)
    for episode in episodes:
        writer.write(episode)
    writer.close()
    return folder


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def frames(folder: Path) -> pa.Table:
    return pads.dataset(folder / "data", format="parquet").to_table()


def episode_rows(folder: Path) -> list[dict]:
    return pads.dataset(folder / "meta" / "episodes", format="parquet").to_table().to_pylist()


@pytest.fixture
def dataset(tmp_path: Path, episodes: list[Trajectory]) -> Path:
    return write(tmp_path / "dataset", episodes)


def test_frames_hold_what_was_sensed_and_commanded(dataset: Path, episodes: list[Trajectory]):
    table = frames(dataset)
    for name in ("joint_pos", "object_pos_b"):
        expected = np.concatenate([e.observations[name] for e in episodes])
        assert table[f"observation.{name}"].to_pylist() == expected.tolist()
    assert table["action"].to_pylist() == np.concatenate([e.actions for e in episodes]).tolist()
    assert table["observation.gripper_width_m"].to_pylist() == [0.5, 10.5, 20.5, 1000.5, 1010.5]


def test_the_state_is_the_robots_and_the_rest_is_the_environments(dataset: Path):
    table = frames(dataset)
    assert table["observation.state"][1].as_py() == [10, 11, 12, 13, 14, 15, 16, 10.5]
    assert table["observation.environment_state"][1].as_py() == [110, 111, 112]


def test_every_robot_field_is_sensed():
    assert set(ROBOT_FIELDS) < {field.name for field in dataclasses.fields(Observation)}


def test_indices_count_frames_in_their_episode_and_in_the_dataset(dataset: Path):
    table = frames(dataset)
    assert table["episode_index"].to_pylist() == [0, 0, 0, 1, 1]
    assert table["frame_index"].to_pylist() == [0, 1, 2, 0, 1]
    assert table["index"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["timestamp"].to_pylist() == pytest.approx([0, 1 / 30, 2 / 30, 0, 1 / 30])


def test_only_the_last_frame_is_done_and_only_a_success_succeeds(dataset: Path):
    table = frames(dataset)
    assert table["next.done"].to_pylist() == [False, False, True, False, True]
    assert table["next.success"].to_pylist() == [False, False, True, False, False]


def test_labels_stand_in_every_frame_and_in_the_episode_table(dataset: Path, episodes: list[Trajectory]):
    table, rows = frames(dataset), episode_rows(dataset)
    for name in (f.name for f in dataclasses.fields(episodes[0].labels)):
        first, second = (getattr(e.labels, name) for e in episodes)
        assert table[f"label.{name}"].to_pylist() == [first] * 3 + [second] * 2
        assert [row[f"label.{name}"] for row in rows] == [first, second]


def test_the_episode_table_says_where_each_episode_lies(dataset: Path):
    first, second = episode_rows(dataset)
    assert (first["dataset_from_index"], first["dataset_to_index"], first["length"]) == (0, 3, 3)
    assert (second["dataset_from_index"], second["dataset_to_index"], second["length"]) == (3, 5, 2)
    assert first["tasks"] == ["pick up the cube"]


def test_episodes_that_fill_a_file_are_found_in_the_next(tmp_path: Path, make_trajectory):
    folder = write(tmp_path, [make_trajectory(2, start=s) for s in (0.0, 1000.0, 2000.0)], max_file_bytes=1)
    info = read_json(folder / "meta" / "info.json")
    for row in episode_rows(folder):
        place = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
        table = pq.read_table(folder / info["data_path"].format(**place))
        assert table["episode_index"].to_pylist() == [row["episode_index"]] * 2
    assert len(list((folder / "data").rglob("*.parquet"))) == 3


def test_every_instruction_is_a_task_once(tmp_path: Path, make_trajectory):
    folder = write(tmp_path, [make_trajectory(1, text=text) for text in ("lift it", "stack it", "lift it")])
    tasks = pd.read_parquet(folder / "meta" / "tasks.parquet")
    assert tasks["task_index"].to_dict() == {"lift it": 0, "stack it": 1}
    assert frames(folder)["task_index"].to_pylist() == [0, 1, 0]


def test_info_declares_every_column_with_its_shape(dataset: Path):
    info = read_json(dataset / "meta" / "info.json")
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 5, 1)
    assert (info["codebase_version"], info["fps"], info["splits"]) == ("v3.0", 30, {"train": "0:2"})
    schema = frames(dataset).schema
    assert set(info["features"]) == set(schema.names)
    for name, feature in info["features"].items():
        kind = schema.field(name).type
        fixed = pa.types.is_fixed_size_list(kind)
        assert feature["shape"] == [kind.list_size if fixed else 1], name
        value = kind.value_type if fixed else kind
        assert feature["dtype"] == {"float": "float32", "double": "float64"}.get(str(value), str(value)), name
        if feature["names"] is not None:
            assert len(feature["names"]) == feature["shape"][0], name


def test_statistics_are_those_of_all_frames(dataset: Path):
    # Less 200, the first entry of the actions is 0, 10, 20 in one episode and 1000, 1010 in the other.
    column = {name: values[0] for name, values in read_json(dataset / "meta" / "stats.json")["action"].items()}
    assert (column["min"], column["max"], column["count"]) == (200, 1210, 5)
    assert column["mean"] == pytest.approx(200 + 2040 / 5)
    assert column["std"] == pytest.approx(math.sqrt((100 + 400 + 1000**2 + 1010**2) / 5 - (2040 / 5) ** 2))
    assert column["q50"] == 220
    assert column["q90"] == pytest.approx(1200 + 0.6 * 10)


def test_an_episodes_statistics_are_its_own(dataset: Path):
    first, second = episode_rows(dataset)
    # n equal steps of 10 have the variance 100 (n^2 - 1) / 12.
    assert first["stats/action/std"] == pytest.approx([10 * math.sqrt(8 / 12)] * 7)
    assert second["stats/action/mean"] == pytest.approx([1205 + i for i in range(7)])
    assert second["stats/next.done/mean"] == [0.5]
    assert not [name for name in first if name.startswith("stats/label.failure_type")]


def test_a_dataset_that_was_not_completed_has_no_info(tmp_path: Path, episodes: list[Trajectory]):
    LeRobotWriter(tmp_path).write(episodes[0])
    assert not (tmp_path / "meta" / "info.json").exists()


def test_an_episode_with_other_fields_is_refused(tmp_path: Path, episodes: list[Trajectory]):
    writer = LeRobotWriter(tmp_path)
    writer.write(episodes[0])
    fewer = {name: value for name, value in episodes[1].observations.items() if name != "object_pos_b"}
    with pytest.raises(ValueError, match="scenario-1000: fields differ"):
        writer.write(dataclasses.replace(episodes[1], observations=fewer))
