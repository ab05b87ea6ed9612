"""The device's search by faiss-gpu: FAISS proposes keys, their similarities are computed as without it.

Never run on a GPU: its tests propose by FAISS on the CPU.  So it is used only where ``FAISS_GPU_VARIABLE`` asks for it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import faiss
import torch

from flow_rag_vla.memory.device_search import CaseSearch, HostSearch, TorchSearch

if TYPE_CHECKING:
    from flow_rag_vla.memory.index import CosineIndex

type Propose = Callable[[torch.Tensor, int], torch.Tensor]
"""Queries (n, embedding_dim) float32 and a number m to the m most similar rows (n, m) int64, by float32's rounding."""

FAISS_GPU_VARIABLE = "FLOW_RAG_VLA_FAISS_GPU"
"""Set to 1, CUDA devices search by faiss-gpu; unset or 0, by torch alone."""

SLACK = 32
"""Rows proposed beyond those needed: where more tie with the last one, all keys are compared."""

MOST_PROPOSED = 2048
"""FAISS's own limit on a GPU; beyond it all keys are compared."""

ROUNDING = 1.0e-4
"""Similarities closer than this may change places in FAISS: twice the bound of a float32 sum of 512 products."""

GATHERED_BYTES = 1 << 28
"""Proposed keys that are compared at once, in float64."""


class FaissGpuSearch(TorchSearch):
    """``TorchSearch`` that compares only the keys that ``propose`` names: same answers, less arithmetic.

    A query whose ``k``-th case is no more similar than a row that was not proposed may be is compared with all keys.
    How many there are is asked of the device, once for each block of queries.
    """

    def __init__(self, index: CosineIndex, device: str, propose: Propose | None = None) -> None:
        """Copy ``index`` to ``device``; ``propose`` is faiss-gpu's brute force by default."""
        super().__init__(index, device)
        self._propose = _brute_force(self._keys.float()) if propose is None else propose
        self._most_keys = index.most_keys

    def _case_similarity(self, queries: torch.Tensor, k: int, min_similarity: float) -> torch.Tensor:
        needed = min(k * self._most_keys + SLACK, len(self._keys))
        if needed > MOST_PROPOSED or needed == len(self._keys):
            return super()._case_similarity(queries, k, min_similarity)
        rows = self._propose(queries.float().contiguous(), needed)
        at_once = max(1, GATHERED_BYTES // (needed * self._keys.shape[1] * self._keys.element_size()))
        pairs = zip(queries.split(at_once), rows.split(at_once), strict=True)
        similarity = torch.cat([(self._keys[near] @ query.unsqueeze(2)).squeeze(2) for query, near in pairs])
        closest = self._closest_key(similarity, self._case_of_row[rows])
        # The rows proposed are of k cases at least, so that there is a k-th.
        kth = closest.topk(k, dim=1).values[:, -1]
        unsure = (kth <= similarity.amin(dim=1) + ROUNDING) & (kth >= min_similarity - ROUNDING)
        asked_again = unsure.nonzero().flatten()
        exact = super()._case_similarity(queries[asked_again], k, min_similarity)
        return closest.index_copy(0, asked_again, exact)


def make_search(index: CosineIndex, device: str) -> CaseSearch:
    """``index`` for tensors on ``device``: FAISS on the CPU; on CUDA torch, or faiss-gpu where that is asked for.

    Raises:
        ValueError: one line: ``FAISS_GPU_VARIABLE`` is neither 0 nor 1, or asks for what is not installed.
    """
    if torch.device(device).type == "cpu":
        return HostSearch(index)
    return FaissGpuSearch(index, device) if _faiss_gpu_is_asked_for() else TorchSearch(index, device)


def _faiss_gpu_is_asked_for() -> bool:
    asked = os.environ.get(FAISS_GPU_VARIABLE, "0")
    if asked not in ("0", "1"):
        raise ValueError(f"{FAISS_GPU_VARIABLE} is {asked!r}, expected 0 or 1")
    if asked == "1" and faiss.get_num_gpus() == 0:
        raise ValueError(
            f"{FAISS_GPU_VARIABLE} is 1, but the installed faiss sees no GPU: it needs faiss-gpu, unset it"
        )
    return asked == "1"


@cache
def _resources(device: int) -> Any:
    """FAISS's scratch memory on a GPU, more than a gigabyte: one for all searches of the process."""
    del device
    return faiss.StandardGpuResources()  # pyright: ignore[reportAttributeAccessIssue]


def _brute_force(keys: torch.Tensor) -> Propose:
    # Teaches FAISS to take tensors, for the whole process: what takes arrays still does, through one more call.
    importlib.import_module("faiss.contrib.torch_utils")
    device = keys.device.index or 0
    options = {"metric": faiss.METRIC_INNER_PRODUCT, "device": device}

    def propose(queries: torch.Tensor, num_rows: int) -> torch.Tensor:
        with torch.cuda.device(device):  # whose stream FAISS takes
            return faiss.knn_gpu(_resources(device), queries, keys, num_rows, **options)[1]  # pyright: ignore

    return propose
