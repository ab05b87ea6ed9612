"""Files of a run: written whole or not at all, and read with a reason when they are damaged."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from flow_rag_vla.benchmark.records import EpisodeRecord

FLOAT_DIGITS = 12
"""Significant digits kept in JSON results: enough to differ, too few to show the machine."""

EPISODE_ORDER = ["arm", "round", "exposure", "scenario_id"]

_ARROW_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
}
EPISODE_SCHEMA = pa.schema(
    [
        pa.field(field.name, _ARROW_TYPES[str(field.type).removesuffix(" | None")])
        for field in dataclasses.fields(EpisodeRecord)
    ]
)
"""Column types of ``episodes.parquet``, the same for an empty run as for a full one."""


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` durably: readers see the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def to_json_bytes(value: object) -> bytes:
    """Canonical JSON: sorted keys, rounded floats, final newline; equal values, equal bytes.

    Raises:
        ValueError: naming the place of a float that is not finite.
    """
    text = json.dumps(_canonical(value, "$"), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json_atomic(path: Path, value: object) -> None:
    """``to_json_bytes`` into ``path``, whole or not at all."""
    write_bytes_atomic(path, to_json_bytes(value))


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        ValueError: naming the file, where it does not hold a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a JSON {type(value).__name__}, expected an object")
    return value


def append_episodes(file: IO[str], records: Iterable[EpisodeRecord]) -> None:
    """Append one line per record and make them durable before returning."""
    file.writelines(record.to_json() + "\n" for record in records)
    file.flush()
    os.fsync(file.fileno())


@dataclasses.dataclass(frozen=True)
class EpisodeLog:
    """The records of one ``episodes.jsonl``; ``notice`` says what was dropped, if anything."""

    records: list[EpisodeRecord]
    notice: str | None
    valid_bytes: int
    """Length of the undamaged part: truncate the file to it before appending again."""


def read_episodes(path: Path) -> EpisodeLog:
    """Read an episode log, dropping a last line that an interrupted write left without an end.

    Raises:
        ValueError: naming file and line, where any finished line is not a record.
    """
    records: list[EpisodeRecord] = []
    valid_bytes = 0
    *lines, unfinished = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            records.append(EpisodeRecord.from_json(line.decode()))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
        valid_bytes += len(line) + 1
    notice = None
    if unfinished:
        notice = f"{path}:{len(lines) + 1}: dropped an unfinished last line"
    return EpisodeLog(records, notice, valid_bytes)


def write_episodes_parquet(path: Path, records: Iterable[EpisodeRecord]) -> None:
    """One row per record, sorted by arm, round, exposure and scenario: the same records give the same bytes."""
    rows = sorted(
        (dataclasses.asdict(record) for record in records),
        key=lambda row: [*(row[name] for name in EPISODE_ORDER), row["attempt"]],
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=EPISODE_SCHEMA), sink, compression="zstd")
    write_bytes_atomic(path, sink.getvalue().to_pybytes())


def _canonical(value: object, place: str) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}; what was not measured is None")
        return float(f"{value:.{FLOAT_DIGITS}g}") + 0.0  # -0.0 becomes 0.0
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _canonical(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item, f"{place}[{i}]") for i, item in enumerate(value)]
    return value


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
