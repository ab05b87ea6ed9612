"""The real lerobot package loads our datasets.

It gets an environment of its own (several GB, minutes); ``FLOW_RAG_VLA_LEROBOT_PYTHON`` names the Python of one that
has it already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_rag_vla.tasks.datasets.lerobot_export import LeRobotWriter
from flow_rag_vla.tasks.datasets.trajectory import Trajectory

pytestmark = pytest.mark.slow

LEROBOT = "lerobot[dataset]==0.6.1"

LOADER = """
import json, sys
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

root = sys.argv[1]
dataset = LeRobotDataset(repo_id="local/hand_made", root=root)
items = [dataset[i] for i in range(len(dataset))]
batches = list(torch.utils.data.DataLoader(dataset, batch_size=2, num_workers=1))
steps = {"action": [0.0, 1 / 30]}
second = LeRobotDataset(repo_id="local/hand_made", root=root, episodes=[1], delta_timestamps=steps)
print(json.dumps({
    "episodes": dataset.num_episodes,
    "fps": dataset.fps,
    "shapes": {k: list(v.shape) for k, v in items[0].items() if isinstance(v, torch.Tensor)},
    "states": [item["observation.state"].tolist() for item in items],
    "actions": [item["action"].tolist() for item in items],
    "done": [bool(item["next.done"]) for item in items],
    "failure_types": [item["label.failure_type"] for item in items],
    "tasks": [item["task"] for item in items],
    "labels": [dataset.meta.episodes[i]["label.failure_type"] for i in range(2)],
    "batches": [list(batch["action"].shape) for batch in batches],
    "mean": dataset.meta.stats["action"]["mean"].tolist(),
    "chunk": second[1]["action"].tolist(),
    "padded": second[1]["action_is_pad"].tolist(),
}))
"""


@pytest.fixture(scope="module")
def lerobot_python() -> Iterator[str]:
    """A Python that can import lerobot."""
    given = os.environ.get("FLOW_RAG_VLA_LEROBOT_PYTHON")
    if given:
        yield given
        return
    # Not pytest's folder, which keeps the last three runs: that would be 20 GB.
    with tempfile.TemporaryDirectory(prefix="lerobot-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", LEROBOT], check=True, timeout=3600)
        yield python


def test_the_lerobot_package_loads_every_number(lerobot_python: str, tmp_path: Path, episodes: list[Trajectory]):
    writer = LeRobotWriter(tmp_path / "dataset", max_file_bytes=1)
    for episode in episodes:
        writer.write(episode)
    writer.close()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [lerobot_python, "-c", LOADER, str(tmp_path / "dataset")],
        env=environment | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    loaded = json.loads(result.stdout.splitlines()[-1])

    first, second = episodes
    assert (loaded["episodes"], loaded["fps"]) == (2, 30)
    assert loaded["shapes"]["observation.joint_pos"] == [7]
    assert loaded["shapes"]["observation.gripper_width_m"] == []
    assert loaded["states"][3] == [*second.observations["joint_pos"][0].tolist(), 1000.5]
    assert loaded["actions"] == first.actions.tolist() + second.actions.tolist()
    assert loaded["done"] == [False, False, True, False, True]
    assert loaded["failure_types"] == ["none"] * 3 + ["collision"] * 2
    assert loaded["labels"] == ["none", "collision"]
    assert loaded["tasks"] == ["pick up the cube"] * 5
    assert loaded["batches"] == [[2, 7], [2, 7], [1, 7]]
    assert loaded["mean"] == pytest.approx([608 + i for i in range(7)])
    # A window that runs over the end of its episode repeats the last action and says so.
    assert loaded["chunk"] == [second.actions[1].tolist()] * 2
    assert loaded["padded"] == [False, True]
