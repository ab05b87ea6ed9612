"""Made-up demonstrations in the files that ``scripts/collect_demos.py`` writes, and runs of ``scripts/train.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from flow_rag_vla.agents.demonstration_set import DemonstrationSet
from flow_rag_vla.agents.features import NUM_POLICY_FEATURES
from flow_rag_vla.agents.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.tasks.contract import ACTION_DIM

CHECKOUT = Path(__file__).parents[2]
STEPS = 12
"""Of every made-up episode."""


def make_demonstrations(episodes: dict[str, int], seed: int = 0) -> DemonstrationSet:
    """So many episodes of ``STEPS`` steps of each task, features and actions drawn at random."""
    rng = torch.Generator().manual_seed(seed)
    counts = torch.tensor(list(episodes.values()))
    num_steps = int(counts.sum()) * STEPS
    task = torch.arange(len(episodes)).repeat_interleave(counts * STEPS)
    step = torch.arange(num_steps)
    return DemonstrationSet(
        features=torch.randn(num_steps, NUM_POLICY_FEATURES, generator=rng),
        actions=torch.randn(num_steps, ACTION_DIM, generator=rng) * 0.01,
        last_step=step // STEPS * STEPS + STEPS - 1,
        disturbed=torch.zeros(num_steps, dtype=torch.bool),
        task=task,
        tasks=tuple(episodes),
        instruction=task,
        instruction_texts=tuple(f"do {name}" for name in episodes),
        instruction_embeddings=torch.eye(len(episodes), INSTRUCTION_DIM),
        layout_seeds=frozenset({0}),
    )


WIDTHS = {
    "joint_pos": 7, "joint_vel": 7, "ee_pos_b": 3, "ee_quat_b": 4, "ee_target_pos_b": 3, "ee_target_quat_b": 4,
    "gripper_width_m": 1, "grip_force_n": 1, "hand_force_b": 3, "link_force_b": 3, "previous_action": 7,
    "object_pos_b": 3, "object_quat_b": 4, "object_size_m": 3, "object_rgb": 3, "goal_pos_b": 3,
}  # fmt: skip


def write_demonstrations(folder: Path, task: str, episodes: int = 8, layout_seed: int = 0) -> Path:
    """A folder as ``scripts/collect_demos.py`` leaves it."""
    rng = torch.Generator().manual_seed(len(task))
    num_steps = episodes * STEPS
    rows = {f"observation.{name}": torch.rand(num_steps, width, generator=rng) for name, width in WIDTHS.items()}
    rows["action"] = torch.randn(num_steps, ACTION_DIM, generator=rng) * 0.01
    rows["disturbed"] = torch.zeros(num_steps, dtype=torch.bool)
    rows["episode"] = torch.arange(num_steps) // STEPS
    rows["layout_seed"] = layout_seed + rows["episode"]
    rows["instruction"] = torch.zeros(num_steps, dtype=torch.long)
    folder.mkdir(parents=True)
    metadata = {"task": task, "instructions": json.dumps([f"do {task}"])}
    save_file(rows, folder / "wave-000.safetensors", metadata=metadata)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts ``scripts/train.py`` in ``tmp_path``, where two tasks have demonstrations."""
    for slug, task in (("pick_place", "FlowRAG-PickPlace-Franka"), ("lift", "FlowRAG-Lift-Franka")):
        write_demonstrations(tmp_path / "demonstrations" / slug, task)

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(CHECKOUT / "scripts" / "train.py"), *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT / "typings"), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
