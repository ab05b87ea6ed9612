"""The barrier between rounds: what episodes leave behind goes into a memory, in an order that no worker decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.episodes.rollout import Exposed
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.memory.failure_memory import FailureMemory


class Taught(Protocol):
    """What some episodes taught."""

    @property
    def uses(self) -> Sequence[tuple[int, int, bool]]:
        """(case id, candidate, helped) of the episodes that a retrieved case steered, in plan order."""
        ...

    @property
    def failures(self) -> Mapping[str, FailureCase]:
        """Scenario id to the failure that the agent wants to remember."""
        ...

    @property
    def exposures(self) -> Mapping[str, Exposed]:
        """Scenario id to what the agent can say of the episode, failed or not."""
        ...


def merge_into(memory: FailureMemory, results: Sequence[Taught]) -> None:
    """Outcomes of cases used in plan order, then failures and exposures in the order of scenario ids."""
    uses = [use for result in results for use in result.uses]
    if uses:
        cases, candidates, helped = zip(*uses, strict=True)
        memory.record_outcomes(cases, candidates, helped)
    failures = {key: case for result in results for key, case in result.failures.items()}
    memory.add([failures[key] for key in sorted(failures)])
    exposures = {key: exposed for result in results for key, exposed in result.exposures.items()}
    if exposures:
        met = [exposures[key] for key in sorted(exposures)]
        keys = np.stack([exposed.key for exposed in met])
        memory.record_exposures(keys, [e.candidate for e in met], [e.worked for e in met], [e.felt for e in met])
