"""Numbered Parquet files of bounded size: ``chunk-000/file-000.parquet`` and so on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NAME = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


class ParquetFiles:
    """Tables of one schema, one row group each, in files that are closed when they are full."""

    def __init__(self, folder: Path, max_bytes: int, files_per_chunk: int) -> None:
        """Files below ``folder``; one that has reached ``max_bytes`` gets no further table."""
        self._folder, self._max_bytes, self._files_per_chunk = folder, max_bytes, files_per_chunk
        self._number = 0
        self._sink: pa.NativeFile | None = None
        self._writer: pq.ParquetWriter | None = None

    def next_place(self) -> tuple[int, int]:
        """Chunk and file index of the next table."""
        if self._sink is not None and self._sink.tell() >= self._max_bytes:
            self.close()
            self._number += 1
        return divmod(self._number, self._files_per_chunk)

    def write(self, table: pa.Table) -> None:
        """Add ``table`` as a row group."""
        chunk_index, file_index = self.next_place()
        if self._writer is None:
            path = self._folder / NAME.format(chunk_index=chunk_index, file_index=file_index)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(self._sink, table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=max(1, len(table)))

    def close(self) -> None:
        """End the current file."""
        if self._writer is not None and self._sink is not None:
            self._writer.close()
            self._sink.close()
        self._writer = self._sink = None
