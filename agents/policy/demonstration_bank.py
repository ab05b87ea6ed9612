"""Nearest-neighbour retrieval of demonstrated chunks: the policy of arms that act on demonstrations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import faiss
import numpy as np
import torch
from safetensors.torch import save_file

from flow_rag_vla.agents.files.safetensors_file import errors_in_one_line, read_tensors
from flow_rag_vla.agents.policy.features import NUM_POLICY_FEATURES, policy_features

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet
    from flow_rag_vla.agents.policy.instructions import InstructionTable
    from flow_rag_vla.tasks.contract import Observation


def bank_path(checkpoint: Path) -> Path:
    """The demonstration bank that ``scripts/train.py`` wrote beside ``checkpoint``."""
    return checkpoint.with_name(f"{checkpoint.stem}_bank.safetensors")


def save_bank(path: Path, data: DemonstrationSet, horizon: int, size: int, seed: int = 0) -> None:
    """Write ``size`` random steps of ``data`` with their chunks, in half precision."""
    rng = torch.Generator().manual_seed(seed)
    starts = data.starts(horizon)
    steps = starts[torch.randperm(len(starts), generator=rng)[:size].sort().values]
    rows = {
        "features": data.features[steps].half(),
        "chunks": data.chunks(steps, horizon).half(),
        "task": data.task[steps].to(torch.uint8),
    }
    metadata = {"tasks": json.dumps(data.tasks)}
    save_file({name: value.contiguous() for name, value in rows.items()}, path, metadata=metadata)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    with errors_in_one_line("demonstration bank", path):
        metadata, rows = read_tensors(path)
    if set(rows) != {"features", "chunks", "task"} or rows["features"].shape[1:] != (NUM_POLICY_FEATURES,):
        raise ValueError(f"demonstration bank {path}: made for other features; rebuild it with scripts/train.py")
    return rows, json.loads(metadata.get("tasks", "[]"))


def demonstrated_features(path: Path) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """The states in a bank: features (n, NUM_POLICY_FEATURES), task (n,) as an index, and the tasks' gym ids.

    Raises:
        ValueError: the file is missing, damaged or made for other features.
    """
    rows, tasks = _read(path)
    return rows["features"].float(), rows["task"], tasks


class DemonstrationBank:
    """Answers an observation with the chunk that the most similar demonstrated state of the same task was followed by.

    The instruction says which task it is.
    """

    def __init__(
        self,
        features: torch.Tensor,
        chunks: torch.Tensor,
        task: torch.Tensor,
        tasks: Sequence[str],
        instructions: InstructionTable,
        device: str = "cpu",
    ) -> None:
        """Index what was demonstrated.

        Args:
            features: (n, NUM_POLICY_FEATURES) demonstrated states.
            chunks: (n, horizon, 7) what followed them.
            task: (n,) index into ``tasks``.
            tasks: Gym ids.
            instructions: Texts and the tasks that they ask for.
            device: Where the chunks go.
        """
        self._chunks = chunks.float().to(device)
        self._instructions = instructions
        self._indices: dict[str, faiss.Index] = {}
        for number, name in enumerate(tasks):
            rows = (task.long() == number).nonzero().flatten()
            index = faiss.IndexIDMap2(faiss.IndexFlatL2(features.shape[1]))
            index.add_with_ids(np.ascontiguousarray(features[rows].float().numpy()), rows.numpy())
            self._indices[name] = index

    @classmethod
    def load(cls, path: Path, instructions: InstructionTable, device: str = "cpu") -> DemonstrationBank:
        """The bank that ``save_bank`` wrote, for a policy that knows ``instructions``.

        Raises:
            ValueError: the file is missing, damaged or made for other features.
        """
        rows, tasks = _read(path)
        return cls(rows["features"], rows["chunks"], rows["task"], tasks, instructions, device)

    @property
    def horizon(self) -> int:
        """Actions in a chunk."""
        return self._chunks.shape[1]

    def __len__(self) -> int:
        """Stored states."""
        return len(self._chunks)

    def __call__(self, observation: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Policy features and the nearest chunks (num_envs, horizon, 7); ``noise`` plays no part.

        Raises:
            ValueError: nothing is stored for the task that an instruction asks for.
        """
        del noise
        features = policy_features(observation)
        queries = np.ascontiguousarray(features.cpu().numpy())
        asked = {text: self._instructions.task_of(text) for text in dict.fromkeys(observation.instruction)}
        task_of_row = np.array([asked[text] for text in observation.instruction])
        nearest = np.zeros(len(queries), dtype=np.int64)
        for task in sorted(set(asked.values())):
            if task not in self._indices or self._indices[task].ntotal == 0:
                raise ValueError(f"demonstration bank: nothing is stored for {task}; it knows {sorted(self._indices)}")
            rows = task_of_row == task
            nearest[rows] = self._indices[task].search(queries[rows], 1)[1][:, 0]
        return features, self._chunks[torch.from_numpy(nearest).to(self._chunks.device)]
