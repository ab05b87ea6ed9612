"""The device's search where faiss-gpu is installed: FAISS proposes keys, their similarities are computed as without it.

Written, never run on a GPU: its tests propose by FAISS on the CPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import faiss
import torch

from flow_rag_vla.memory.device_search import CaseSearch, HostSearch, TorchSearch

if TYPE_CHECKING:
    from flow_rag_vla.memory.index import CosineIndex

type Propose = Callable[[torch.Tensor, int], torch.Tensor]
"""Queries (n, embedding_dim) float32 and a number m to the m most similar rows (n, m) int64, by float32's rounding."""

SLACK = 32
"""Rows proposed beyond those needed: as many may tie with the last one, and the oldest cases still win."""

MOST_PROPOSED = 2048
"""FAISS's own limit on a GPU; beyond it all keys are compared."""


class FaissGpuSearch(TorchSearch):
    """``TorchSearch`` that compares only the keys that ``propose`` names: same answers, less arithmetic."""

    def __init__(self, index: CosineIndex, device: str, propose: Propose | None = None) -> None:
        """Copy ``index`` to ``device``; ``propose`` is faiss-gpu's brute force by default."""
        super().__init__(index, device)
        self._propose = _brute_force(self._keys.float()) if propose is None else propose
        self._most_keys = index.most_keys

    def _case_similarity(self, queries: torch.Tensor, k: int) -> torch.Tensor:
        needed = min(k * self._most_keys + SLACK, len(self._keys))
        if needed > MOST_PROPOSED or needed == len(self._keys):
            return super()._case_similarity(queries, k)
        rows = self._propose(queries.float().contiguous(), needed)
        similarity = (self._keys[rows] @ queries.unsqueeze(2)).squeeze(2)
        return self._closest_key(similarity, self._case_of_row[rows])


def make_search(index: CosineIndex, device: str) -> CaseSearch:
    """``index`` for tensors on ``device``: FAISS on the CPU; on CUDA faiss-gpu where it is installed, else torch."""
    if torch.device(device).type == "cpu":
        return HostSearch(index)
    return FaissGpuSearch(index, device) if faiss.get_num_gpus() > 0 else TorchSearch(index, device)


def _brute_force(keys: torch.Tensor) -> Propose:
    importlib.import_module("faiss.contrib.torch_utils")  # teaches FAISS to take tensors
    resources = faiss.StandardGpuResources()  # pyright: ignore[reportAttributeAccessIssue]
    options = {"metric": faiss.METRIC_INNER_PRODUCT, "device": keys.device.index or 0}

    def propose(queries: torch.Tensor, num_rows: int) -> torch.Tensor:
        return faiss.knn_gpu(resources, queries, keys, num_rows, **options)[1]  # pyright: ignore

    return propose
