"""A run's merged table and its summary against what its rows give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, to_json_bytes
from flow_rag_vla.benchmark.episodes.episode_table import EPISODE_SCHEMA, EpisodeTable
from flow_rag_vla.benchmark.run.integrity.finding import Finding
from flow_rag_vla.benchmark.run.integrity.row_check import Row
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import PlannedUnit
from flow_rag_vla.benchmark.scoring.score import IncompleteRunError, scores_of
from flow_rag_vla.benchmark.scoring.summary import SCHEMA_VERSION

PLACE = ("arm", "round", "exposure", "scenario_id", "base_scenario_id", "attempt")
"""Columns that tell the rows of a run apart."""
_ROWS_AT_ONCE = 65_536
NOT_MADE = "is missing: scripts/report.py makes it"


def check_table(
    run_dir: Path,
    expected: EpisodeTable,
    units: Sequence[PlannedUnit],
    rows_of: Callable[[PlannedUnit], Sequence[Row]],
) -> list[Finding]:
    """``episodes.parquet`` holds every row once, value for value; a difference is told at the row.

    Args:
        run_dir: Of the run.
        expected: The table of all sound rows, for another place.
        units: Of the run, in the plan's order.
        rows_of: Reads the sound rows of a unit again, where tables differ.
    """
    path = run_dir / run_files.MERGED_EPISODES
    if not path.is_file():
        return [Finding(path, NOT_MADE, unfinished=True)]
    expected.write()
    try:
        if _equal(path, expected.path):
            return []
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return [Finding(path, f"is no table that can be read: {error}")]
    columns = [name for name in EPISODE_SCHEMA.names if name in table.column_names]
    if lacking := [name for name in PLACE if name not in columns]:
        return [Finding(path, f"has no columns {', '.join(lacking)}")]
    findings: list[Finding] = []
    table, numbers_of = table.select(columns), defaultdict[object, list[int]](list)
    for number, place in enumerate(zip(table["arm"].to_pylist(), table["round"].to_pylist(), strict=True)):
        numbers_of[place].append(number)
    for arm, round_ in dict.fromkeys((unit.arm, unit.round) for unit in units):
        # An arm's round at a time, as values take ten times the room of the table.
        numbers = numbers_of.pop((arm, round_), [])
        merged: dict[tuple[object, ...], dict[str, object]] = {}
        for number, values in zip(numbers, table.take(pa.array(numbers, pa.int64())).to_pylist(), strict=True):
            place = tuple(values[name] for name in PLACE)
            if place in merged:
                findings.append(Finding(path, f"row {number + 1}: {' '.join(map(str, place))} is here twice"))
            merged.setdefault(place, values)
        for unit in units:
            if (unit.arm, unit.round) == (arm, round_):
                findings += _differences(path, columns, merged, rows_of(unit))
        findings += [_nobody_tells_of(path, place) for place in merged]
    strange = pa.array([number for numbers in numbers_of.values() for number in numbers], pa.int64())
    findings += [_nobody_tells_of(path, row.values()) for row in table.select(list(PLACE)).take(strange).to_pylist()]
    return findings


def _equal(path: Path, other: Path) -> bool:
    """Whether two tables hold the same, in the same order; a batch of rows of each is in memory."""
    with pq.ParquetFile(path) as one, pq.ParquetFile(other) as two:
        if one.schema_arrow != two.schema_arrow or one.metadata.num_rows != two.metadata.num_rows:
            return False
        pairs = zip(one.iter_batches(_ROWS_AT_ONCE), two.iter_batches(_ROWS_AT_ONCE), strict=True)
        return all(ours.equals(theirs) for ours, theirs in pairs)


def _differences(
    path: Path, columns: Sequence[str], merged: dict[tuple[object, ...], dict[str, object]], rows: Iterable[Row]
) -> Iterator[Finding]:
    """Of ``rows`` and what the table in ``path`` has of them, which is taken out of ``merged``."""
    for row in rows:
        values = merged.pop(tuple(getattr(row.record, name) for name in PLACE), None)
        if values is None:
            yield Finding(row.path, f"{path} lacks this row", row.line)
            continue
        for name in columns:
            own = getattr(row.record, name)
            if own != values[name]:
                yield Finding(row.path, f"{name} is {own!r}, {path} has {values[name]!r}", row.line)


def _nobody_tells_of(path: Path, place: Iterable[object]) -> Finding:
    return Finding(path, f"holds {' '.join(map(str, place))}, which no sound row tells of")


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
