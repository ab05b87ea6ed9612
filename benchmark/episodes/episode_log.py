"""Episode records on disk, appended line by line while a run goes on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from flow_rag_vla.benchmark.episodes.record_lines import to_lines
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord


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
