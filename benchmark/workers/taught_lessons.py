"""The lessons of a unit as a barrier asks for them: columns at once, keys and chunks a block of rows at a time."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from flow_rag_vla.benchmark.workers.lessons import NAMES, Lessons
from flow_rag_vla.memory.case import CaseShape, ClusterKey, unit_rows
from flow_rag_vla.memory.stored_cases import CaseColumns, cases_of_columns

if TYPE_CHECKING:
    from flow_rag_vla.memory.case import FailureCase, Float32Array, Int64Array

_COLUMNS = ("prior", "counts", "occurrences")
_CHUNKS = ("failed_action", "correction")
"""Read, with the keys, when a block of cases is asked for."""

type _Arrays = dict[str, npt.NDArray[Any]]
type _Read = Callable[[Sequence[str], Int64Array | None], _Arrays]
"""Arrays by name, whole or their rows (n,)."""


class TaughtLessons:
    """What ``barrier.Taught`` says."""

    def __init__(self, names: str, read: _Read) -> None:
        """What ``read`` reads; ``of`` and ``of_file`` know one."""
        self._read = read
        texts = json.loads(names)
        self.failed = _names(scenario for scenario, *_ in texts["texts"])
        self.met = _names(texts["exposed"])
        of_cases = ("num_keys", *_COLUMNS) if len(self.failed) else ()
        known = read(["uses", *of_cases, *(["exposed"] if len(self.met) else [])], None)
        self.uses: Int64Array = known["uses"]
        self.trials: Int64Array = known["exposed"] if len(self.met) else np.zeros((0, 3), np.int64)
        if self.uses.shape[1:] != (3,) or self.trials.shape != (len(self.met), 3):
            raise ValueError(f"uses and exposures have shapes {self.uses.shape} and {self.trials.shape}")
        self._shape: CaseShape | None = None
        if len(self.failed):
            if any(len(known[name]) != len(self.failed) for name in of_cases):
                raise ValueError(f"expected {len(self.failed)} rows in every column")
            code_of: dict[ClusterKey, int] = {}
            codes = [code_of.setdefault(ClusterKey(*key), len(code_of)) for _, *key in texts["texts"]]
            first = read(["key_states", *_CHUNKS], np.zeros(1, np.int64))
            self._shape = CaseShape(first["key_states"].shape[1], first["correction"].shape[1], known["prior"].shape[1])
            self._num_keys, self._ends = known["num_keys"], np.cumsum(known["num_keys"])
            self._clusters, self._codes = tuple(code_of), np.array(codes, np.int64)

    @property
    def columns(self) -> CaseColumns | None:
        """As in ``barrier.Taught``; read anew, since a round has many."""
        if self._shape is None:
            return None
        return CaseColumns(self._shape, self._clusters, self._codes, self._read(["occurrences"], None)["occurrences"])

    def evidence(self) -> tuple[Float32Array, Int64Array]:
        """As in ``barrier.Taught``; read anew, too."""
        known = self._read(["prior", "counts"], None)
        return known["prior"], known["counts"]

    @classmethod
    def of(cls, lessons: Lessons) -> Self:
        """``lessons`` that are in memory anyhow."""
        arrays, names = lessons.arrays()

        def read(wanted: Sequence[str], rows: Int64Array | None) -> _Arrays:
            return {name: arrays[name] if rows is None else arrays[name][rows] for name in wanted}

        return cls(names, read)

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The lessons in ``path``, which must stay as it is while they are read.

        Raises:
            ValueError: naming the file, where it holds none; so do ``cases`` and ``keys``.
        """
        with _named(path):
            with safe_open(path, framework="numpy") as file:
                names = file.metadata()[NAMES]
            return cls(names, functools.partial(_read_file, path))

    def cases(self, rows: Int64Array) -> list[FailureCase]:
        """As in ``barrier.Taught``."""
        num_keys = self._num_keys[rows]
        key_rows = np.concatenate([np.arange(end - n, end) for end, n in zip(self._ends[rows], num_keys, strict=True)])
        kinds, phases, regions = zip(*(self._clusters[code] for code in self._codes[rows].tolist()), strict=True)
        known = self._read([*_CHUNKS, *_COLUMNS], rows)
        return cases_of_columns(
            failure_types=kinds,
            phases=phases,
            regions=regions,
            keys=self._read(["key_states"], key_rows)["key_states"],
            num_keys=num_keys,
            failed_actions=known["failed_action"],
            corrections=known["correction"],
            priors=known["prior"],
            counts=known["counts"],
            occurrences=known["occurrences"],
        )

    def keys(self, rows: Int64Array) -> Float32Array:
        """As in ``barrier.Taught``."""
        return unit_rows(self._read(["exposed_keys"], rows)["exposed_keys"])


def _names(words: Iterable[str]) -> npt.NDArray[np.bytes_]:
    """(n,) in UTF-8: a fifth of what text takes."""
    return np.array([word.encode() for word in words], dtype=np.bytes_)


def _read_file(path: Path, wanted: Sequence[str], rows: Int64Array | None) -> _Arrays:
    with _named(path), safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) if rows is None else _rows(file, name, rows) for name in wanted}


def _rows(file: safe_open, name: str, rows: Int64Array) -> npt.NDArray[Any]:
    part = file.get_slice(name)
    if 4 * len(rows) >= part.get_shape()[0]:
        return file.get_tensor(name)[rows]
    return np.concatenate([part[row : row + 1] for row in rows.tolist()])


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says of which file an error is."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: holds no lessons of a unit: {error}") from None
