"""A failure memory for the corrections that agents know, empty or as an earlier round left it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.memory.failure_memory import FailureMemory

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.settings import ArmSettings


def new_memory(settings: ArmSettings, horizon: int, source: Path | None = None) -> FailureMemory:
    """An empty memory of chunks of ``horizon`` actions, or a copy of the one saved at ``source``.

    Writes do not reach the file.

    Raises:
        ValueError: it was made with other corrections, or is no readable memory.
        FileNotFoundError: there is none.
    """
    options = {"max_size": settings.agent.max_cases, "similarity_threshold": settings.agent.similarity_threshold}
    threads = torch.get_num_threads()
    if source is not None:
        memory = FailureMemory.load(source, **options, search_threads=threads)
        if memory.num_candidates != len(CANDIDATES):
            raise ValueError(
                f"{source} tells {memory.num_candidates} corrections apart, expected {len(CANDIDATES)}: it was made by "
                "another version; start with an empty memory"
            )
        return memory
    return FailureMemory(**options, horizon=horizon, num_candidates=len(CANDIDATES), search_threads=threads)
