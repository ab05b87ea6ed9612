"""The search of ``CosineIndex`` where queries live on a device: they stay there, and so do the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from flow_rag_vla.memory.case import UNIT_NORM_TOLERANCE
from flow_rag_vla.memory.index import NO_CASE

if TYPE_CHECKING:
    from flow_rag_vla.memory.index import CosineIndex

_QUERY_BLOCK = 1024
"""Queries compared at once; with 20 000 keys their similarities take 160 MB."""


@dataclass(frozen=True)
class DeviceHits:
    """``SearchResult`` as tensors on the queries' device: same fields, same padding."""

    case_ids: torch.Tensor
    """(num_queries, k) int64."""
    similarity: torch.Tensor
    """(num_queries, k) float32."""
    valid: torch.Tensor
    """(num_queries, k) bool, hits first in each row."""

    @property
    def hit(self) -> torch.Tensor:
        """(num_queries,) bool: where at least one case was found."""
        return self.valid.any(dim=1)


class CaseSearch(Protocol):
    """``CosineIndex.search`` for tensors."""

    def search(self, queries: torch.Tensor, k: int, min_similarity: float = -1.0) -> DeviceHits:
        """The ``k`` most similar cases of each query (num_queries, embedding_dim), ties by lower id."""
        ...


class HostSearch:
    """FAISS on the CPU, asked with tensors of the CPU; follows the index as it changes."""

    def __init__(self, index: CosineIndex) -> None:
        """Search ``index``."""
        self._index = index

    def search(self, queries: torch.Tensor, k: int, min_similarity: float = -1.0) -> DeviceHits:
        """As ``CosineIndex.search``, errors included."""
        found = self._index.search(queries.numpy(), k, min_similarity)
        return DeviceHits(*map(torch.from_numpy, (found.case_ids, found.similarity, found.valid)))


class TorchSearch:
    """Every query against every key of an index as it was, on the device.

    Similarities are summed in float64 and rounded to float32 once, so that equal keys tie exactly and an answer depends
    neither on the batch nor on the device, nor on what float32 products are allowed to round to (TF32).  Nothing
    here waits for the device.
    """

    def __init__(self, index: CosineIndex, device: str) -> None:
        """Copy the keys of ``index`` to ``device``: once, for all searches until the index changes."""
        case_ids, case_of_row = np.unique(index.row_case_ids, return_inverse=True)
        self._keys = torch.as_tensor(index.keys, device=device).double()
        self._case_ids = torch.as_tensor(case_ids, device=device)
        self._case_of_row = torch.as_tensor(case_of_row, device=device)

    def search(self, queries: torch.Tensor, k: int, min_similarity: float = -1.0) -> DeviceHits:
        """The ``k`` most similar cases of each query, ties by lower id.

        Args:
            queries: (num_queries, embedding_dim) on the device, scaled to unit length.  One that is not finite or has
                no length finds nothing; to refuse it would be to wait for the device.
            k: Cases for each query.
            min_similarity: Less similar cases are no hits.

        Raises:
            ValueError: wrong shape, or ``k`` below 1.
        """
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        if queries.ndim != 2 or queries.shape[1] != self._keys.shape[1]:
            raise ValueError(f"embeddings: expected shape (n, {self._keys.shape[1]}), got {tuple(queries.shape)}")
        if not len(queries):
            rows = queries.new_zeros(0, k, dtype=torch.float32)
            return DeviceHits(rows.long(), rows, rows.bool())
        blocks = [self._nearest(block, k, min_similarity) for block in _unit(queries).split(_QUERY_BLOCK)]
        return DeviceHits(*(torch.cat(columns) for columns in zip(*blocks, strict=True)))

    def _nearest(
        self, queries: torch.Tensor, k: int, min_similarity: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, similarities and validity (n, k) of ``queries`` (n, embedding_dim), unit rows in float64."""
        similarity = self._case_similarity(queries, k, min_similarity)
        num_cases = similarity.shape[1]
        place = torch.arange(num_cases, device=similarity.device)
        # One integer a case, more similar above less similar and older above newer: no two are equal, so that the
        # choice among ties is not the kernel's.
        order = (_ordered(similarity) * 2**32 + (num_cases - 1 - place)).topk(min(k, num_cases), dim=1).values
        place = num_cases - 1 - (order & (2**32 - 1))
        similarity = similarity.gather(1, place)
        valid = similarity >= min_similarity
        columns = (
            torch.where(valid, self._case_ids[place], NO_CASE),
            torch.where(valid, similarity, 0.0),
            valid,
        )
        missing = (0, k - place.shape[1])
        ids, similarity, valid = (torch.nn.functional.pad(column, missing) for column in columns)
        return ids, similarity, valid

    def _case_similarity(self, queries: torch.Tensor, k: int, min_similarity: float) -> torch.Tensor:
        """(n, num_cases) float32: the closest key of each case, -1 to 1; lower where a case is no hit anyway."""
        del k, min_similarity
        return self._closest_key(queries @ self._keys.T, self._case_of_row.expand(queries.shape[0], -1))

    def _closest_key(self, similarity: torch.Tensor, case: torch.Tensor) -> torch.Tensor:
        """``similarity`` (n, m) of keys of the cases ``case`` (n, m) as in ``_case_similarity``; -inf for no key."""
        rounded = similarity.clamp(-1.0, 1.0).float()
        closest = rounded.new_full((rounded.shape[0], len(self._case_ids)), -torch.inf)
        return closest.scatter_reduce_(1, case, rounded, "amax")


def _unit(rows: torch.Tensor) -> torch.Tensor:
    """``case.unit_rows`` in float64."""
    rows = rows.double()
    norms = rows.square().sum(dim=1, keepdim=True).sqrt()
    return rows / torch.where((norms - 1.0).abs() <= UNIT_NORM_TOLERANCE, 1.0, norms)


def _ordered(values: torch.Tensor) -> torch.Tensor:
    """int64 in the order of ``values`` (float32): the bits, of negative numbers turned around."""
    bits = (values + 0.0).view(torch.int32).long()  # + 0.0: minus zero is zero
    return torch.where(bits < 0, bits ^ 0x7FFF_FFFF, bits)
