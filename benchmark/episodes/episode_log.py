"""Episode records on disk: appended line by line while a run goes on, one table when it is done."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from flow_rag_vla.benchmark.command.atomic_files import write_bytes_atomic
from flow_rag_vla.benchmark.episodes.record_lines import to_lines
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord

EPISODE_ORDER = ["arm", "round", "exposure", "scenario_id"]

_ARROW_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "Exposure": pa.string(),
    "Outcome": pa.string(),
}
EPISODE_SCHEMA = pa.schema(
    [
        pa.field(field.name, _ARROW_TYPES[str(field.type).removesuffix(" | None")])
        for field in dataclasses.fields(EpisodeRecord)
    ]
)
"""Column types of ``episodes.parquet``, the same for an empty run as for a full one."""


def append_episodes(file: IO[str], records: Iterable[EpisodeRecord]) -> None:
    """Append one line per record and make them durable before returning."""
    file.write(to_lines(records))
    file.flush()
    os.fsync(file.fileno())


@dataclasses.dataclass(frozen=True)
class EpisodeLog:
    """The records of one ``episodes.jsonl``; ``notice`` says what was dropped, if anything."""

    records: list[EpisodeRecord]
    notice: str | None


def read_episodes(path: Path) -> EpisodeLog:
    """Read an episode log, dropping a last line that an interrupted write left without an end.

    Raises:
        ValueError: naming file and line, where any finished line is not a record.
    """
    records: list[EpisodeRecord] = []
    *lines, unfinished = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            records.append(EpisodeRecord.from_json(line))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    notice = None
    if unfinished:
        notice = f"{path}:{len(lines) + 1}: dropped an unfinished last line"
    return EpisodeLog(records, notice)


def write_episodes_parquet(path: Path, records: Iterable[EpisodeRecord]) -> None:
    """One row per record, sorted by arm, round, exposure and scenario: the same records give the same bytes."""
    ordered = sorted(records, key=operator.attrgetter(*EPISODE_ORDER, "attempt"))
    table = EPISODE_SCHEMA.empty_table()
    if ordered:
        columns = zip(*map(operator.attrgetter(*EPISODE_SCHEMA.names), ordered), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, EPISODE_SCHEMA, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=EPISODE_SCHEMA)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes_atomic(path, sink.getvalue().to_pybytes())
