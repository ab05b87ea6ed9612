"""``episodes.parquet``: every record of a run in one sorted table, made from a few at a time."""

from __future__ import annotations

import bisect
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
"""Rows of the table that are written together, about 50 MB."""

RUN, HEAD = 32_768, 512
"""Records that wait in memory until they are sorted and put aside, and what is read again of each such run at once."""

_SORTED_BY = (*EPISODE_ORDER[2:], "attempt")
"""Of an arm's round."""

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
        if self._num_waiting > RUN:
            self._put_aside()

    def write(self) -> None:
        """Write the table, sorted by arm, round, exposure and scenario: the same records give the same bytes."""
        with replaced_atomic(self.path) as file, pq.ParquetWriter(file, EPISODE_SCHEMA, compression="zstd") as writer:
            for group in _row_groups(self._sorted()):
                writer.write_table(group, ROW_GROUP)

    def _sorted(self) -> Iterator[pa.Table]:
        for place in sorted(self._waiting.keys() | self._files.keys()):
            runs = [_read_run(path) for path in self._files[place]]
            yield from _merged([*runs, iter([_in_order(self._waiting[place])])])

    def _put_aside(self) -> None:
        if self._folder is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(prefix=f".{self.path.name}.", dir=self.path.parent)
        for place, tables in self._waiting.items():
            path = Path(self._folder.name) / f"{sum(map(len, self._files.values()))}.arrow"
            with pa.ipc.new_file(str(path), EPISODE_SCHEMA) as writer:
                writer.write_table(_in_order(tables), HEAD)
            self._files[place].append(path)
        self._waiting.clear()
        self._num_waiting = 0


def _in_order(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables([EPISODE_SCHEMA.empty_table(), *tables]).sort_by([(n, "ascending") for n in _SORTED_BY])


def _read_run(path: Path) -> Iterator[pa.Table]:
    """A few rows at a time."""
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as run:
        for number in range(run.num_record_batches):
            yield pa.Table.from_batches([run.get_batch(number)])


def _merged(runs: Sequence[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """The rows of sorted ``runs`` in order; of each, what it gives at once is in memory."""
    heads = [_Head(run) for run in runs]
    while heads := [head for head in heads if head.keys]:
        # What is not read yet comes after the last row that is, in its own run.
        bound = min(head.keys[-1] for head in heads)
        yield _in_order([head.up_to(bound) for head in heads])


class _Head:
    """The next rows of a run."""

    def __init__(self, run: Iterator[pa.Table]) -> None:
        self._run = run
        self._read()

    def _read(self) -> None:
        self._rows = next(self._run, EPISODE_SCHEMA.empty_table())
        self.keys = list(zip(*(self._rows[name].to_pylist() for name in _SORTED_BY), strict=True))

    def up_to(self, bound: tuple[str, str, int]) -> pa.Table:
        """Rows up to those of key ``bound``, which are taken out."""
        count = bisect.bisect_right(self.keys, bound)
        rows, self._rows, self.keys = self._rows.slice(0, count), self._rows.slice(count), self.keys[count:]
        if not self.keys:
            self._read()
        return rows


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """``tables`` cut into row groups, of which the last is what is left; one of no rows where there are none."""
    waiting, count = [EPISODE_SCHEMA.empty_table()], 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        while count > ROW_GROUP:
            last = waiting.pop()
            kept = ROW_GROUP - (count - len(last))
            waiting.append(last.slice(0, kept))
            yield _joined(waiting)
            waiting, count = [last.slice(kept)], len(last) - kept
    yield _joined(waiting)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """One piece of ``tables``, which are gone then: column after column, so that it is not twice in memory."""
    left = pa.concat_tables(tables)
    tables.clear()
    columns = []
    while left.num_columns:
        columns.append(left.column(0).combine_chunks())
        left = left.remove_column(0)
    return pa.Table.from_arrays(columns, schema=EPISODE_SCHEMA)


def write_episodes_parquet(path: Path, records: Iterable[EpisodeRecord]) -> None:
    """The table of ``records``, at once."""
    with EpisodeTable(path) as table:
        table.add(list(records))
        table.write()
