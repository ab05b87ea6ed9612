"""What failed from where an episode now stands: all that a memory can say where no correction is worth trying."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.recall.pooling import searchable
from flow_rag_vla.memory.faiss_gpu import make_search
from flow_rag_vla.memory.index import CosineIndex

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.encoders import StateEncoder
    from flow_rag_vla.memory.device_search import CaseSearch
    from flow_rag_vla.memory.reader import CaseReader
    from flow_rag_vla.memory.table import CaseTable
    from flow_rag_vla.tasks.contract import Observation


class FailedChunks:
    """The chunks of a memory's cases, by what they were decided on.

    A case's last key is that of the decision before its failure; what it began in says nothing of a later chunk.
    """

    def __init__(self, memory: CaseReader, encoder: StateEncoder, device: str = "cpu") -> None:
        """Look up in ``memory``, by keys that ``encoder`` makes, for observations that live on ``device``."""
        self._memory, self._encoder, self._device = memory, encoder, device
        self._known: tuple[CaseTable, CaseSearch, torch.Tensor, torch.Tensor] | None = None

    def near(self, observation: Observation) -> tuple[torch.Tensor, torch.Tensor]:
        """The failed chunk (num_envs, horizon, 7) nearest to each row, and how near (num_envs,).

        Nearness is 1 for the same state and 0 where nothing is similar enough; chunks are 0 there.
        """
        keys = self._encoder.encode(dataclasses.replace(observation, rgb=None))
        if not len(self._memory):
            nothing = keys.new_zeros(len(keys), self._memory.horizon, 7)
            return nothing, nothing[:, 0, 0]
        search, ids, chunks = self._up_to_date()
        finite, sound = searchable(keys)
        least = self._memory.similarity_threshold
        found = search.search(finite, 1, least)
        hit = found.hit & sound
        chunk = torch.where(hit[:, None, None], chunks[torch.searchsorted(ids, found.case_ids[:, 0])], 0.0)
        nearness = (found.similarity[:, 0] - least) / max(1.0 - least, 1e-6)
        return chunk, torch.where(hit, nearness.clamp(0.0, 1.0), 0.0)

    def _up_to_date(self) -> tuple[CaseSearch, torch.Tensor, torch.Tensor]:
        table = self._memory.table
        if self._known is None or self._known[0] is not table:
            index = CosineIndex(self._memory.embedding_dim, torch.get_num_threads())
            index.add(table.ids, np.stack([case.key_states[-1] for case in table.cases]))
            # The first row stands for no case.
            ids = torch.as_tensor(np.append(-1, table.ids), device=self._device)
            chunks = np.concatenate([np.zeros_like(table.failed_actions[:1]), table.failed_actions])
            self._known = table, make_search(index, self._device), ids, torch.as_tensor(chunks, device=self._device)
        return self._known[1:]
