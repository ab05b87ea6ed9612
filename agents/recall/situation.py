"""The situation that an episode began in, and what is known of others like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.recall.pooling import searchable, weighted_sum
from flow_rag_vla.memory.evidence.situations import MOMENTS
from flow_rag_vla.memory.evidence.uplift import kernel_weight
from flow_rag_vla.memory.faiss_gpu import make_search
from flow_rag_vla.memory.index import CosineIndex

if TYPE_CHECKING:
    from flow_rag_vla.memory.evidence.situations import Exposures


class KnownSituations:
    """The exposures of a memory as they are, on a device."""

    def __init__(
        self,
        exposures: Exposures,
        num_neighbours: int,
        threshold: float,
        device: str,
        answering: np.ndarray | None = None,
    ) -> None:
        """Look ``num_neighbours`` situations up that are at least ``threshold`` similar.

        ``answering`` (num_situations,) names the row that answers for each as to corrections (a placebo); what doing
        nothing led to is always its own.
        """
        index = CosineIndex(exposures.keys.shape[1], torch.get_num_threads())
        index.add(exposures.ids, exposures.keys)
        counts = exposures.counts if answering is None else exposures.counts[answering]
        nothing = np.arange(counts.shape[1]) % (counts.shape[1] // MOMENTS) == 0
        counts = np.where(nothing[:, None], exposures.counts, counts)
        self._search = make_search(index, device)
        self._ids = torch.as_tensor(np.append(0, exposures.ids), device=device)
        self._counts = torch.as_tensor(np.concatenate([np.zeros_like(counts[:1]), counts]), device=device).float()
        self._k, self._threshold = num_neighbours, threshold

    def trials(self, keys: torch.Tensor) -> torch.Tensor:
        """(n, num_choices, 2) episodes (worked, did not) like those that begin in ``keys`` (n, embedding_dim).

        An episode counts by ``kernel_weight`` of its situation's similarity.
        """
        found = self._search.search(keys, self._k, self._threshold)
        weight = torch.where(found.valid, kernel_weight(found.similarity, self._threshold), 0.0)
        return weighted_sum(weight, self._counts, torch.searchsorted(self._ids, found.case_ids))


class Situation:
    """What the episodes of all environments began in; what is known of it is looked up once an episode."""

    def __init__(self, keys: torch.Tensor) -> None:
        """``keys`` (num_envs, embedding_dim) of the first decisions."""
        self.keys = keys
        self._known: KnownSituations | None = None
        self._trials = keys[:0]

    def trials_in(self, known: KnownSituations) -> torch.Tensor:
        """(num_envs, num_choices, 2), as ``KnownSituations.trials``; 0 for keys that are not finite."""
        if self._known is not known:
            finite, sound = searchable(self.keys)
            trials = known.trials(finite)
            self._known, self._trials = known, torch.where(sound[:, None, None], trials, 0.0)
        return self._trials
