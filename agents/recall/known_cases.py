"""What is known of the cases of a memory, as columns on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from flow_rag_vla.memory.index import NO_CASE
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.memory.case import Int64Array
    from flow_rag_vla.memory.reader import CaseReader


@dataclass(frozen=True)
class KnownCases:
    """One row a case, oldest first, after a first row that stands for no case."""

    ids: torch.Tensor
    """(1 + num_cases,) int64, ascending."""
    answering: torch.Tensor
    """(1 + num_cases,) int64: the case that the next columns speak of; usually the same, ``NO_CASE`` for silence."""
    means: torch.Tensor
    """(1 + num_cases, num_candidates) float32 posterior chance of each candidate to help; 0 for no case."""
    priors: torch.Tensor
    """(1 + num_cases, num_candidates, 2) float32 pseudo-trials before any outcome; 0 for no case."""
    failure_type: torch.Tensor
    """(1 + num_cases,) int64 index into ``FAILURE_TYPES``; ``NOTHING`` for no case."""
    own_type: torch.Tensor
    """(1 + num_cases,) int64: the same of the case itself, whichever answers for it."""

    @classmethod
    def of(cls, memory: CaseReader, answering: Int64Array, device: str) -> Self:
        """The cases of ``memory`` as they are now, each answered for by one of ``answering`` (num_cases,).

        ``NO_CASE`` answers for one that is to say nothing.

        Raises:
            KeyError: a case that answers is not in the memory.
        """
        answering = np.append(NO_CASE, answering)
        ids = np.append(NO_CASE, memory.case_ids)
        priors = np.zeros((len(answering), memory.num_candidates, 2), dtype=np.float32)
        answered = answering != NO_CASE
        priors[answered] = memory.table.priors[memory.table.rows_of(answering[answered])]
        return cls(
            torch.as_tensor(ids, device=device),
            torch.as_tensor(answering, device=device),
            torch.as_tensor(memory.candidate_means(answering), device=device),
            torch.as_tensor(priors, device=device),
            _types(memory, answering, device),
            _types(memory, ids, device),
        )


def _types(memory: CaseReader, case_ids: Int64Array, device: str) -> torch.Tensor:
    names = memory.failure_types(case_ids).tolist()
    types = [FAILURE_TYPES.index(name) if name in FAILURE_TYPES else NOTHING for name in names]
    return torch.tensor(types, dtype=torch.long, device=device)
