"""Arms are compared in pairs: in a round they meet the same episodes, each of which begins in the same state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.run.integrity.finding import Finding
from flow_rag_vla.benchmark.run.integrity.row_check import Row
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import EpisodeKey, PlannedUnit

SHARED = ("initial_state_sha", "site", "task", "fault", "fault_class", "severity")
"""Fields of a record that come from its scenario, whichever arm meets it."""


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
    rows = enumerate(plan.read_text(encoding="utf-8").splitlines(), start=1)
    return {json.loads(line)["unit"]: number for number, line in rows if '"unit"' in line}


def check_pairs(rows: Iterable[Row]) -> list[Finding]:
    """What two arms met under one key is one scenario in one initial state; ``rows`` come in the plan's order."""
    findings = []
    first: dict[tuple[int, EpisodeKey], Row] = {}
    for row in rows:
        known = first.setdefault((row.record.round, row.key), row)
        for name in SHARED:
            own, other = getattr(row.record, name), getattr(known.record, name)
            if own != other:
                place = f"{known.record.arm} has {other!r} in the same episode ({known.path}:{known.line})"
                findings.append(Finding(row.path, f"{name} is {own!r}, {place}", row.line))
    return findings
