"""Parquet files of bounded size: when the next one begins, and what it is called."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flow_rag_vla.tasks.datasets.parquet_files import ParquetFiles


def written(folder: Path) -> dict[str, list[int]]:
    """File name to its rows."""
    paths = sorted(folder.rglob("*.parquet"))
    return {p.relative_to(folder).as_posix(): pq.read_table(p)["row"].to_pylist() for p in paths}


def test_a_full_file_is_followed_by_another_and_a_full_chunk_by_another(tmp_path: Path):
    files = ParquetFiles(tmp_path, max_bytes=1, files_per_chunk=2)
    places = []
    for row in range(3):
        places.append(files.next_place())
        files.write(pa.table({"row": [row]}))
    files.close()
    assert places == [(0, 0), (0, 1), (1, 0)]
    assert written(tmp_path) == {
        "chunk-000/file-000.parquet": [0],
        "chunk-000/file-001.parquet": [1],
        "chunk-001/file-000.parquet": [2],
    }


def test_a_file_with_room_takes_every_table_as_a_row_group_of_its_own(tmp_path: Path):
    files = ParquetFiles(tmp_path, max_bytes=10**6, files_per_chunk=2)
    for row in range(3):
        files.write(pa.table({"row": [row, row]}))
    files.close()
    assert written(tmp_path) == {"chunk-000/file-000.parquet": [0, 0, 1, 1, 2, 2]}
    assert pq.ParquetFile(tmp_path / "chunk-000/file-000.parquet").num_row_groups == 3
