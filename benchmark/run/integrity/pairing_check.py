"""Arms are compared in pairs: in a round they meet the same episodes, each of which begins in the same state."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flow_rag_vla.benchmark.episodes.records import EpisodeKey, Exposure
from flow_rag_vla.benchmark.run.integrity.finding import Finding
from flow_rag_vla.benchmark.run.integrity.row_check import Row
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import PlannedUnit

SHARED = ("initial_state_sha", "site", "task", "fault", "fault_class", "severity")
"""Fields of a record that come from its scenario, whichever arm meets it."""

_shared_of = attrgetter(*SHARED)
_UNITS_AT_ONCE = 8
"""Whose rows are in memory, where differences are told."""


def check_plan(run_dir: Path, units: Sequence[PlannedUnit]) -> list[Finding]:
    """In each round every arm is planned the same episodes, none of them twice, and repeats what E1 meets."""
    path = run_dir / run_files.PLAN
    lines = _lines(path)
    planned: dict[tuple[int, str], dict[EpisodeKey, PlannedUnit]] = {}
    findings = []
    for unit in units:
        keys = planned.setdefault((unit.round, unit.arm), {})
        for key in unit.episodes:
            if key in keys:
                findings.append(
                    Finding(path, f"{unit.id} has {key[0]} {key[1]}, already in {keys[key].id}", lines[unit.id])
                )
            keys.setdefault(key, unit)
    met = {key[1] for keys in planned.values() for key in keys if key[0] == Exposure.E1}
    references: dict[int, tuple[str, dict[EpisodeKey, PlannedUnit]]] = {}
    for (round_, arm), keys in planned.items():
        reference, expected = references.setdefault(round_, (arm, keys))
        for key, unit in (expected | keys).items():
            if key not in keys or key not in expected:
                has, lacks = (arm, reference) if key in keys else (reference, arm)
                what = f"{unit.id}: {has} meets {key[0]} {key[1]} in round {round_}, {lacks} does not"
                findings.append(Finding(path, what, lines[unit.id]))
            elif key[2] not in met:
                findings.append(Finding(path, f"{unit.id} repeats {key[2]}, which E1 does not meet", lines[unit.id]))
    return findings


def _lines(plan: Path) -> dict[str, int]:
    """Unit id to the line that plans it."""
    with plan.open(encoding="utf-8") as file:
        rows = enumerate(file, start=1)
        return {json.loads(line)["unit"]: number for number, line in rows if '"unit"' in line}


class PairCheck:
    """What two arms met under one key is one scenario in one initial state; of each row 24 bytes are kept."""

    def __init__(self) -> None:
        """No row yet."""
        self._units: list[PlannedUnit] = []
        self._hashes: list[npt.NDArray[np.int64]] = []
        """(rows, 2) of each unit: of the key of a row, and of what its arm shares with the others."""
        self._lines: list[npt.NDArray[np.int64]] = []

    def add(self, unit: PlannedUnit, rows: Sequence[Row]) -> None:
        """Take the ``rows`` of ``unit``, which are not kept; units come in the plan's order."""
        self._units.append(unit)
        hashes = [(hash((row.record.round, row.key)), hash(_shared_of(row.record))) for row in rows]
        self._hashes.append(np.array(hashes, dtype=np.int64).reshape(-1, 2))
        self._lines.append(np.array([row.line for row in rows], dtype=np.int64))

    def findings(self, rows_of: Callable[[PlannedUnit], Iterable[Row]]) -> list[Finding]:
        """Every difference; ``rows_of`` reads the rows of a unit again, where there is one."""
        if not self._units:
            return []
        hashes, lines = np.concatenate(self._hashes), np.concatenate(self._lines)
        owners = np.repeat(np.arange(len(self._units)), [len(rows) for rows in self._lines])
        _, first, group = np.unique(hashes[:, 0], return_index=True, return_inverse=True)
        known = first[group]
        read = functools.lru_cache(_UNITS_AT_ONCE)(lambda owner: {row.line: row for row in rows_of(self._units[owner])})
        findings = []
        for row in np.flatnonzero(hashes[:, 1] != hashes[known, 1]).tolist():
            own, other = (read(int(owners[i])).get(int(lines[i])) for i in (row, known[row]))
            if own is not None and other is not None and own.key == other.key:
                findings += _differences(own, other)
        return findings


def _differences(row: Row, known: Row) -> Iterator[Finding]:
    for name in SHARED:
        own, other = getattr(row.record, name), getattr(known.record, name)
        if own != other:
            place = f"{known.record.arm} has {other!r} in the same episode ({known.path}:{known.line})"
            yield Finding(row.path, f"{name} is {own!r}, {place}", row.line)
