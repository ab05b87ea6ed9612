"""A run's merged table and its summary against what its rows give."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, to_json_bytes
from flow_rag_vla.benchmark.episodes.episode_table import EPISODE_SCHEMA
from flow_rag_vla.benchmark.run.integrity.finding import Finding
from flow_rag_vla.benchmark.run.integrity.row_check import Row
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.score import IncompleteRunError, scores_of
from flow_rag_vla.benchmark.scoring.summary import SCHEMA_VERSION

PLACE = ("arm", "round", "exposure", "scenario_id", "base_scenario_id", "attempt")
"""Columns that tell the rows of a run apart."""
NOT_MADE = "is missing: scripts/report.py makes it"


def check_table(run_dir: Path, rows: Sequence[Row]) -> list[Finding]:
    """``episodes.parquet`` holds every row once, value for value; a difference is told at the row."""
    path = run_dir / run_files.MERGED_EPISODES
    if not path.is_file():
        return [Finding(path, NOT_MADE, unfinished=True)]
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return [Finding(path, f"is no table that can be read: {error}")]
    columns = [name for name in EPISODE_SCHEMA.names if name in table.column_names]
    if lacking := [name for name in PLACE if name not in columns]:
        return [Finding(path, f"has no columns {', '.join(lacking)}")]
    findings = []
    merged: dict[tuple[object, ...], dict[str, object]] = {}
    for number, values in enumerate(table.select(columns).to_pylist(), start=1):
        place = tuple(values[name] for name in PLACE)
        if place in merged:
            findings.append(Finding(path, f"row {number}: {' '.join(map(str, place))} is here twice"))
        merged.setdefault(place, values)
    for row in rows:
        values = merged.pop(tuple(getattr(row.record, name) for name in PLACE), None)
        if values is None:
            findings.append(Finding(row.path, f"{path} lacks this row", row.line))
            continue
        for name in columns:
            own = getattr(row.record, name)
            if own != values[name]:
                findings.append(Finding(row.path, f"{name} is {own!r}, {path} has {values[name]!r}", row.line))
    findings += [Finding(path, f"holds {' '.join(map(str, place))}, which no sound row tells of") for place in merged]
    return findings


def check_summary(run_dir: Path) -> list[Finding]:
    """``summary.json`` is what the rows give, line by line; for a run whose rows are all sound."""
    path = run_dir / run_files.SUMMARY
    if not path.is_file():
        return [Finding(path, NOT_MADE, unfinished=True)]
    try:
        version = read_json_object(path).get("schema_version")
        given = to_json_bytes(scores_of(run_dir, lambda notice: None).summary).decode()
    except (IncompleteRunError, ValueError) as error:
        return [Finding(path, str(error).removeprefix(f"{path}: "))]
    there = path.read_text(encoding="utf-8")
    if there == given:
        return []
    if version in range(SCHEMA_VERSION):
        return [Finding(path, f"is of schema version {version}: scripts/report.py makes it anew", unfinished=True)]
    pairs = enumerate(zip_longest(there.split("\n"), given.split("\n")), start=1)
    differ = [(number, own, other) for number, (own, other) in pairs if own != other]
    if there.count("\n") != given.count("\n"):  # all that follows has moved
        differ = differ[:1]
    return [Finding(path, f"{_cut(own)}, the rows give {_cut(other)}", number) for number, own, other in differ]


def _cut(line: str | None) -> str:
    return "ends here" if line is None else line.strip().rstrip(",")[:200]
