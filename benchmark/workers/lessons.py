"""What the episodes of a unit teach a memory, on disk until the barrier at the end of the round.

One safetensors file: the failures that the agent noticed, how uses of retrieved cases ended, and how all
episodes did.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from flow_rag_vla.benchmark.command.atomic_files import write_bytes_atomic
from flow_rag_vla.benchmark.episodes.rollout import Exposed
from flow_rag_vla.memory.stored_cases import cases_of_columns

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.episodes.rollout import BatchResult
    from flow_rag_vla.memory.case import FailureCase

_NAMES = "names"
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

    def write(self, path: Path) -> None:
        """Write them into ``path``, whole or not at all; equal lessons give equal bytes."""
        cases = list(self.failures.values())
        arrays: dict[str, np.ndarray] = {"uses": np.array(self.uses, np.int64).reshape(-1, 3)}
        if cases:
            arrays |= {name: np.stack([getattr(case, name) for case in cases]) for name in _PER_CASE}
            arrays["occurrences"] = np.array([case.occurrences for case in cases], np.int64)
            arrays["num_keys"] = np.array([len(case.key_states) for case in cases], np.int64)
            arrays["key_states"] = np.concatenate([case.key_states for case in cases])
        if met := list(self.exposures.values()):
            arrays["exposed_keys"] = np.stack([exposed.key for exposed in met])
            arrays["exposed"] = np.array([(e.candidate, e.felt, e.worked) for e in met], np.int64)
        texts = [[scenario, *case.cluster] for scenario, case in self.failures.items()]
        names = json.dumps({"texts": texts, "exposed": list(self.exposures)})
        write_bytes_atomic(path, save(arrays, {_NAMES: names}))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The lessons in ``path``.

        Raises:
            ValueError: naming the file, where it holds none.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
                names = json.loads(file.metadata()[_NAMES])
            texts, exposed = names["texts"], names["exposed"]
            uses = tuple((case, tried, bool(helped)) for case, tried, helped in arrays["uses"].tolist())
            return cls(_cases(arrays, texts) if texts else {}, uses, _exposures(arrays, exposed) if exposed else {})
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: holds no lessons of a unit: {error}") from None


def _exposures(arrays: Mapping[str, np.ndarray], scenarios: list[str]) -> dict[str, Exposed]:
    rows = zip(scenarios, arrays["exposed_keys"], arrays["exposed"].tolist(), strict=True)
    return {scenario: Exposed(key, tried, bool(felt), bool(worked)) for scenario, key, (tried, felt, worked) in rows}


def _cases(arrays: Mapping[str, np.ndarray], texts: list[list[str]]) -> dict[str, FailureCase]:
    names, kinds, phases, regions = zip(*texts, strict=True)
    cases = cases_of_columns(
        failure_types=kinds,
        phases=phases,
        regions=regions,
        keys=arrays["key_states"],
        num_keys=arrays["num_keys"],
        failed_actions=arrays["failed_action"],
        corrections=arrays["correction"],
        priors=arrays["prior"],
        counts=arrays["counts"],
        occurrences=arrays["occurrences"],
    )
    return dict(zip(names, cases, strict=True))
