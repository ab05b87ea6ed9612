"""The barrier between rounds: what episodes leave behind goes into a memory, in an order that no worker decides.

What they leave stays where it is, a file a unit, until the memory asks for a block of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from flow_rag_vla.memory.evidence.situations import KeySource
from flow_rag_vla.memory.stored_cases import CaseColumns, Evidence

if TYPE_CHECKING:
    from flow_rag_vla.memory.case import ClusterKey, FailureCase, Float32Array, Int64Array
    from flow_rag_vla.memory.failure_memory import FailureMemory


class Taught(Protocol):
    """What some episodes taught."""

    @property
    def uses(self) -> Int64Array:
        """(n, 3) case id, candidate and whether it helped of the episodes that a retrieved case steered."""
        ...

    @property
    def failed(self) -> npt.NDArray[np.bytes_]:
        """(cases,) scenario ids, in UTF-8, of the failures that the agent wants to remember."""
        ...

    @property
    def columns(self) -> CaseColumns | None:
        """What is known of those failures; None where there are none."""
        ...

    @property
    def met(self) -> npt.NDArray[np.bytes_]:
        """Scenario ids, in UTF-8, of the episodes that the agent can say something of, failed or not."""
        ...

    @property
    def trials(self) -> Int64Array:
        """(len(met), 3) candidate tried (0 for none), whether a failure had been felt by then, whether it worked."""
        ...

    def evidence(self) -> tuple[Float32Array, Int64Array]:
        """(cases, num_candidates, 2) priors and outcomes of those failures, where there are any."""
        ...

    def cases(self, rows: Int64Array) -> list[FailureCase]:
        """The failures at ``rows`` (n,)."""
        ...

    def keys(self, rows: Int64Array) -> Float32Array:
        """(n, embedding_dim) what the episodes at ``rows`` (n,) of ``met`` began in, unit rows."""
        ...


def merge_into(memory: FailureMemory, results: Sequence[Taught]) -> None:
    """Outcomes of cases used in plan order, then failures and exposures in the order of scenario ids."""
    uses = np.concatenate([np.zeros((0, 3), np.int64), *(result.uses for result in results)])
    if len(uses):
        memory.record_outcomes(uses[:, 0], uses[:, 1], uses[:, 2] != 0)
    if failing := [result for result in results if len(result.failed)]:
        memory.add(_Failures(failing))
    met = _Order([result.met for result in results])
    if len(met):
        tried = met.sorted([result.trials for result in results])

        def keys(positions: Int64Array) -> Float32Array:
            blocks = met.take([result.keys for result in results], positions)
            joined = np.concatenate([block for _, block in blocks])
            return joined[np.argsort(np.concatenate([where for where, _ in blocks]))]

        memory.record_exposures(KeySource(len(met), keys), tried[:, 0], tried[:, 2] != 0, tried[:, 1] != 0)


class _Order:
    """Rows of several parts in the order of their scenario ids; of one id the last row counts."""

    def __init__(self, names: Sequence[npt.NDArray[np.bytes_]]) -> None:
        every = np.concatenate([np.zeros(0, "S1"), *names])
        sizes = [len(ids) for ids in names]
        order = np.argsort(every, kind="stable")
        last = np.ones(len(order), dtype=np.bool_)
        last[:-1] = every[order[1:]] != every[order[:-1]]
        self._rows = order[last]
        self._parts = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[self._rows]
        self._rows -= np.cumsum([0, *sizes])[self._parts]

    def __len__(self) -> int:
        return len(self._rows)

    def sorted(self, columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The rows of ``columns``, one array a part, in this order."""
        starts = np.cumsum([0, *map(len, columns)])
        return np.concatenate(columns)[starts[self._parts] + self._rows]

    def of_part(self, number: int) -> tuple[Int64Array, Int64Array]:
        """Where rows of a part are in this order, and which they are."""
        positions = np.flatnonzero(self._parts == number)
        return positions, self._rows[positions]

    def take[T](self, read: Sequence[Callable[[Int64Array], T]], positions: Int64Array) -> list[tuple[Int64Array, T]]:
        """What each part concerned reads for ``positions`` (n,), and where among them its rows belong."""
        parts = self._parts[positions]
        return [
            (where, read[part](self._rows[positions[where]]))
            for part in np.unique(parts).tolist()
            for where in [np.flatnonzero(parts == part)]
        ]


class _Failures:
    """The failures of several parts as one source, in the order of scenario ids."""

    def __init__(self, parts: Sequence[Taught]) -> None:
        self._parts, self._order = parts, _Order([part.failed for part in parts])
        self.columns = self._columns()

    def evidence(self) -> Iterator[Evidence]:
        for number, part in enumerate(self._parts):
            positions, rows = self._order.of_part(number)
            priors, counts = part.evidence()
            yield Evidence(positions, priors[rows], counts[rows])

    def take(self, positions: Int64Array) -> list[FailureCase]:
        placed = [
            (place, case)
            for where, cases in self._order.take([part.cases for part in self._parts], positions)
            for place, case in zip(where.tolist(), cases, strict=True)
        ]
        return [case for _, case in sorted(placed, key=itemgetter(0))]

    def _columns(self) -> CaseColumns:
        parts = [part.columns for part in self._parts if part.columns is not None]
        if len(shapes := {columns.shape for columns in parts}) != 1:
            raise ValueError(f"expected failures of one shape, got {', '.join(map(str, sorted(shapes)))}")
        code_of: dict[ClusterKey, int] = {}
        codes = [
            np.array([code_of.setdefault(key, len(code_of)) for key in columns.cluster_keys])[columns.cluster_codes]
            for columns in parts
        ]
        in_order = self._order.sorted
        return CaseColumns(
            parts[0].shape,
            tuple(code_of),
            in_order(codes),
            in_order([columns.occurrences for columns in parts]),
        )
