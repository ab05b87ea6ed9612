"""``episodes.parquet``: every record of a run in one sorted table, made from a few at a time."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from flow_rag_vla.benchmark.command.atomic_files import replaced_atomic
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord

EPISODE_ORDER = ["arm", "round", "exposure", "scenario_id"]

ROW_GROUP = 131_072
"""Rows of the table that are written together; as many records wait in memory."""

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

_values_of = attrgetter(*EPISODE_SCHEMA.names)
_Place = tuple[str, int]
"""Arm and round."""


class EpisodeTable:
    """Takes the records of a run in any order; what does not fit into a row group waits on disk, beside the table."""

    def __init__(self, path: Path) -> None:
        """Of the file ``path``, which ``write`` writes."""
        self.path = path
        self._waiting: dict[_Place, list[pa.Table]] = defaultdict(list)
        self._num_waiting = 0
        self._files: dict[_Place, list[Path]] = defaultdict(list)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        """Nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what waits on disk."""
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, records: Sequence[EpisodeRecord]) -> None:
        """Take ``records``, which are not kept."""
        by_place: dict[_Place, list[EpisodeRecord]] = defaultdict(list)
        for record in records:
            by_place[record.arm, record.round].append(record)
        for place, of_place in by_place.items():
            columns = zip(*map(_values_of, of_place), strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, EPISODE_SCHEMA, strict=True)]
            self._waiting[place].append(pa.Table.from_arrays(arrays, schema=EPISODE_SCHEMA))
        self._num_waiting += len(records)
        if self._num_waiting > ROW_GROUP:
            self._put_aside()

    def write(self) -> None:
        """Write the table, sorted by arm, round, exposure and scenario: the same records give the same bytes."""
        with replaced_atomic(self.path) as file, pq.ParquetWriter(file, EPISODE_SCHEMA, compression="zstd") as writer:
            for group in _row_groups(self._sorted()):
                writer.write_table(group, ROW_GROUP)

    def _sorted(self) -> Iterator[pa.Table]:
        for place in sorted(self._waiting.keys() | self._files.keys()):
            there = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in self._files[place]]
            table = pa.concat_tables([*there, *self._waiting[place]])
            order = [(name, "ascending") for name in (*EPISODE_ORDER, "attempt")]
            yield table.sort_by(order)

    def _put_aside(self) -> None:
        if self._folder is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(prefix=f".{self.path.name}.", dir=self.path.parent)
        for place, tables in self._waiting.items():
            path = Path(self._folder.name) / f"{sum(map(len, self._files.values()))}.arrow"
            with pa.ipc.new_file(str(path), EPISODE_SCHEMA) as writer:
                for table in tables:
                    writer.write_table(table)
            self._files[place].append(path)
        self._waiting.clear()
        self._num_waiting = 0


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """``tables`` cut into row groups, of which the last is what is left; one of no rows where there are none."""
    left = EPISODE_SCHEMA.empty_table()
    for table in tables:
        left = pa.concat_tables([left, table])
        while len(left) > ROW_GROUP:
            yield left.slice(0, ROW_GROUP).combine_chunks()
            left = left.slice(ROW_GROUP)
    yield left.combine_chunks()


def write_episodes_parquet(path: Path, records: Iterable[EpisodeRecord]) -> None:
    """The table of ``records``, at once."""
    with EpisodeTable(path) as table:
        table.add(list(records))
        table.write()
