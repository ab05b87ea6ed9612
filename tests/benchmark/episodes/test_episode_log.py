"""Episode logs read back equal, and damaged ones say where."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from flow_rag_vla.benchmark.episodes import episode_log, episode_table, record_lines
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord

Factory = Callable[..., EpisodeRecord]


def test_an_episode_log_reads_back(dropped: Factory, tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    records = [dropped("s0"), dropped("s1")]
    for record in records:
        with path.open("a") as file:
            episode_log.append_episodes(file, [record])
    log = episode_log.read_episodes(path)
    assert (log.records, log.notice) == (records, None)


def test_many_lines_are_those_of_each_record(e1: Factory, dropped: Factory):
    records = [e1("s0", severity=3), dropped('s\u00e9 "1"\n'), e1("s2", peak_grip_force_n=None, severity=1e-5)]
    assert record_lines.to_lines(records) == "".join(record.to_json() + "\n" for record in records)
    assert record_lines.to_lines([]) == ""


def test_a_row_of_a_version_that_did_not_look_at_steering_counts_none(e1: Factory):
    row = json.loads(e1("s0", steered=4, off_support=1).to_json())
    del row["steered"], row["off_support"]
    record = EpisodeRecord.from_json(json.dumps(row))
    assert (record.steered, record.off_support) == (0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_not_written(e1: Factory, tmp_path: Path, value: float):
    with (tmp_path / "episodes.jsonl").open("a") as file, pytest.raises(ValueError, match="JSON compliant"):
        episode_log.append_episodes(file, [e1("s0", peak_grip_force_n=value)])


def test_a_large_table_is_that_of_records_in_any_order(
    e1: Factory, again: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = [e1(f"s{i:02d}") for i in range(20)]
    records = [*first, *(again(f, arm) for arm in ("parallel", "flow_only") for f in first[::-1])]
    whole = tmp_path / "whole.parquet"
    episode_table.write_episodes_parquet(whole, records)
    monkeypatch.setattr(episode_table, "ROW_GROUP", 7)
    path = tmp_path / "merged/episodes.parquet"
    with episode_table.EpisodeTable(path) as table:
        for i in range(0, len(records), 3):
            table.add(records[i : i + 3])
        table.write()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert pq.read_table(path).equals(pq.read_table(whole))
    assert pq.read_metadata(path).num_row_groups == 9


def test_a_torn_last_line_is_dropped_with_a_notice(dropped: Factory, tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    whole = dropped("s0").to_json() + "\n"
    path.write_text(whole + dropped("s1").to_json()[:40])
    log = episode_log.read_episodes(path)
    assert log.records == [dropped("s0")]
    assert log.notice == f"{path}:2: dropped an unfinished last line"


@pytest.mark.parametrize("bad", ["garbage", "[]", '{"v": 1}', '{"v": 2}', "\r"])
def test_a_bad_finished_line_fails_with_file_and_line(bad: str, dropped: Factory, tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    good = dropped("s0").to_json()
    path.write_bytes(f"{good}\n{bad}\n{good}\n".encode())
    with pytest.raises(ValueError, match=rf"{path}:2: "):
        episode_log.read_episodes(path)


def test_parquet_is_sorted_and_independent_of_the_order_written(dropped: Factory, again: Factory, tmp_path: Path):
    first = [dropped(f"s{i}") for i in range(3)]
    records = [*first, *(again(f, arm) for f in first for arm in ("rag_only", "parallel"))]
    episode_table.write_episodes_parquet(tmp_path / "a.parquet", records)
    episode_table.write_episodes_parquet(tmp_path / "b.parquet", records[::-1])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    frame = pd.read_parquet(tmp_path / "a.parquet")
    keys = list(frame[episode_table.EPISODE_ORDER].itertuples(index=False, name=None))
    assert keys == sorted(keys)
    assert len(frame) == 9
