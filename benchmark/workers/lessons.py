"""What the episodes of a unit teach a memory, as it is left for the barrier at the end of the round.

One safetensors file: the failures that the agent noticed, how uses of retrieved cases ended, and how all
episodes did.  ``taught_lessons`` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from flow_rag_vla.benchmark.command.atomic_files import write_bytes_atomic

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.episodes.rollout import BatchResult, Exposed
    from flow_rag_vla.memory.case import FailureCase

NAMES = "names"
"""One entry for all text: safetensors writes several in an order that differs from time to time."""
_PER_CASE = ("failed_action", "correction", "prior", "counts")


@dataclass(frozen=True)
class Lessons:
    """What a unit's episodes teach, in the order of the plan."""

    failures: Mapping[str, FailureCase]
    """Scenario id to the failure that the agent wants to remember."""
    uses: tuple[tuple[int, int, bool], ...]
    """(case id, candidate, helped) of the episodes that a retrieved case steered."""
    exposures: Mapping[str, Exposed] = MappingProxyType({})
    """Scenario id to what the agent can say of the episode, failed or not."""

    @classmethod
    def of(cls, results: Iterable[BatchResult]) -> Self:
        """The lessons of all ``results``."""
        failures: dict[str, FailureCase] = {}
        uses: list[tuple[int, int, bool]] = []
        exposures: dict[str, Exposed] = {}
        for result in results:
            failures |= result.failures
            uses += result.uses
            exposures |= result.exposures
        return cls(failures, tuple(uses), exposures)

    def arrays(self) -> tuple[dict[str, npt.NDArray[Any]], str]:
        """What a file of them holds: arrays by name, and all text as JSON."""
        cases = list(self.failures.values())
        arrays: dict[str, npt.NDArray[Any]] = {"uses": np.array(self.uses, np.int64).reshape(-1, 3)}
        if cases:
            arrays |= {name: np.stack([getattr(case, name) for case in cases]) for name in _PER_CASE}
            arrays["occurrences"] = np.array([case.occurrences for case in cases], np.int64)
            arrays["num_keys"] = np.array([len(case.key_states) for case in cases], np.int64)
            arrays["key_states"] = np.concatenate([case.key_states for case in cases])
        if met := list(self.exposures.values()):
            arrays["exposed_keys"] = np.stack([exposed.key for exposed in met])
            arrays["exposed"] = np.array([(e.candidate, e.felt, e.worked) for e in met], np.int64)
        texts = [[scenario, *case.cluster] for scenario, case in self.failures.items()]
        return arrays, json.dumps({"texts": texts, "exposed": list(self.exposures)})

    def write(self, path: Path) -> None:
        """Write them into ``path``, whole or not at all; equal lessons give equal bytes."""
        arrays, names = self.arrays()
        write_bytes_atomic(path, save(arrays, {NAMES: names}))
