"""Nearest-neighbour retrieval of demonstrated chunks: the policy of the ``rag_only`` arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import faiss
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from flow_rag_vla.agents.features import NUM_POLICY_FEATURES, policy_features

if TYPE_CHECKING:
    from flow_rag_vla.agents.demonstration_set import DemonstrationSet
    from flow_rag_vla.tasks.contract import Observation


def save_bank(path: Path, data: DemonstrationSet, horizon: int, size: int, seed: int = 0) -> None:
    """Write ``size`` random steps of ``data`` with their chunks, in half precision."""
    rng = torch.Generator().manual_seed(seed)
    starts = data.starts(horizon)
    steps = starts[torch.randperm(len(starts), generator=rng)[:size].sort().values]
    rows = {"features": data.features[steps].half(), "chunks": data.chunks(steps, horizon).half()}
    save_file({name: value.contiguous() for name, value in rows.items()}, path)


class DemonstrationBank:
    """Answers an observation with the chunk that the most similar demonstrated state was followed by."""

    def __init__(self, features: torch.Tensor, chunks: torch.Tensor, device: str = "cpu") -> None:
        """Index ``features`` (n, NUM_POLICY_FEATURES) with their ``chunks`` (n, horizon, 7)."""
        self._chunks = chunks.float().to(device)
        self._index = faiss.IndexFlatL2(features.shape[1])
        self._index.add(np.ascontiguousarray(features.float().numpy()))

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> DemonstrationBank:
        """The bank that ``save_bank`` wrote.

        Raises:
            ValueError: the file is missing, damaged or made for other features.
        """
        try:
            rows = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"demonstration bank {path}: {error}".replace("\n", " ")) from None
        if set(rows) != {"features", "chunks"} or rows["features"].shape[1:] != (NUM_POLICY_FEATURES,):
            raise ValueError(f"demonstration bank {path}: made for other features; rebuild it with scripts/train.py")
        return cls(rows["features"], rows["chunks"], device)

    @property
    def horizon(self) -> int:
        """Actions in a chunk."""
        return self._chunks.shape[1]

    def __len__(self) -> int:
        """Stored states."""
        return len(self._chunks)

    def __call__(self, observation: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Policy features and the nearest chunks (num_envs, horizon, 7); ``noise`` plays no part."""
        del noise
        features = policy_features(observation)
        _, nearest = self._index.search(np.ascontiguousarray(features.cpu().numpy()), 1)
        return features, self._chunks[torch.from_numpy(nearest[:, 0]).to(self._chunks.device)]
