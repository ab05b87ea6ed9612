"""Files are written whole, read back equal, and damaged ones say where."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flow_rag_vla.benchmark import results, storage
from flow_rag_vla.benchmark.metrics import summarise
from flow_rag_vla.benchmark.records import EpisodeRecord

Factory = Callable[..., EpisodeRecord]


@pytest.fixture
def summary(dropped: Factory, again: Factory) -> results.Summary:
    first = [dropped(f"s{i}") for i in range(3)]
    records = [*first, *(again(f, arm) for f in first for arm in ("flow_only", "parallel"))]
    return summarise(records, task="T", physics="P", memory_entries={"parallel": 3})


def test_a_summary_reads_back_as_it_was(summary: results.Summary, tmp_path: Path):
    summary.write(tmp_path)
    again = results.Summary.read(tmp_path)
    assert storage.to_json_bytes(again) == storage.to_json_bytes(summary)


def test_summary_json_has_the_documented_shape(summary: results.Summary, tmp_path: Path):
    data = json.loads(summary.write(tmp_path).read_text())
    assert data["schema_version"] == 1
    assert {"task", "physics", "e1", "arms"} <= set(data)
    assert {"n", "failed", "fault_fired", "by_type"} <= set(data["e1"])
    arm = data["arms"]["parallel"]
    for exposure in ("exact", "near", "far", "clean", "control"):
        block = arm[exposure]
        assert {"n", "success", "repeated", "substituted", "resolved", "invalid"} <= set(block)
        assert {"k", "n", "rate", "ci95"} <= set(block["success"])
    assert {"rate", "ci95"} <= set(arm["harm"])
    assert {"success_diff", "ci95", "mcnemar_p", "rfr_reduction"} <= set(arm["vs_flow_only"])
    assert arm["memory_entries"] == 3
    assert arm["far"]["success"] == {"k": 0, "n": 0, "rate": None, "ci95": None}


def test_timing_reads_back_and_unmeasured_stays_null(tmp_path: Path):
    timing = results.Timing({"parallel": results.ArmTiming(results.Percentiles(1.0, 2.0, 3.0), peak_rss_bytes=5)})
    path = timing.write(tmp_path)
    assert results.Timing.read(tmp_path) == timing
    assert json.loads(path.read_text())["arms"]["parallel"]["model_bytes"] is None


def test_another_schema_version_is_refused(summary: results.Summary, tmp_path: Path):
    path = summary.write(tmp_path)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(ValueError, match=r"summary\.json: schema version 9, this code reads 1"):
        results.Summary.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", "holds a JSON list"), ('{"schema_version": 1}', "missing")],
)
def test_a_damaged_summary_names_its_file(text: str, message: str, tmp_path: Path):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ValueError, match=rf"summary\.json: .*{message}"):
        results.Summary.read(tmp_path)


def test_canonical_json_sorts_rounds_and_ends_with_a_newline():
    data = storage.to_json_bytes({"b": 0.1 + 0.2, "a": -0.0, "c": (1, None), "d": 1.5e-20})
    assert data == b'{\n "a": 0.0,\n "b": 0.3,\n "c": [\n  1,\n  null\n ],\n "d": 1.5e-20\n}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_float_that_is_not_finite_is_refused_by_place(value: float):
    with pytest.raises(ValueError, match=r"\$\.a\[1\] is (nan|inf)"):
        storage.to_json_bytes({"a": [0.0, value]})


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path):
    path = tmp_path / "x.json"
    storage.write_json_atomic(path, {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        storage.write_json_atomic(path, {"a": math.nan})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_an_episode_log_reads_back(dropped: Factory, tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    records = [dropped("s0"), dropped("s1")]
    for record in records:
        with path.open("a") as file:
            storage.append_episodes(file, [record])
    log = storage.read_episodes(path)
    assert (log.records, log.notice) == (records, None)
    assert log.valid_bytes == path.stat().st_size


def test_a_torn_last_line_is_dropped_with_a_notice(dropped: Factory, tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    whole = dropped("s0").to_json() + "\n"
    path.write_text(whole + dropped("s1").to_json()[:40])
    log = storage.read_episodes(path)
    assert log.records == [dropped("s0")]
    assert log.notice == f"{path}:2: dropped an unfinished last line"
    assert log.valid_bytes == len(whole)


@pytest.mark.parametrize("bad", ["garbage", "[]", '{"v": 1}', '{"v": 2}', "\r"])
def test_a_bad_finished_line_fails_with_file_and_line(bad: str, dropped: Factory, tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    good = dropped("s0").to_json()
    path.write_bytes(f"{good}\n{bad}\n{good}\n".encode())
    with pytest.raises(ValueError, match=rf"{path}:2: "):
        storage.read_episodes(path)


def test_parquet_is_sorted_and_independent_of_the_order_written(dropped: Factory, again: Factory, tmp_path: Path):
    first = [dropped(f"s{i}") for i in range(3)]
    records = [*first, *(again(f, arm) for f in first for arm in ("rag_only", "parallel"))]
    storage.write_episodes_parquet(tmp_path / "a.parquet", records)
    storage.write_episodes_parquet(tmp_path / "b.parquet", records[::-1])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    frame = pd.read_parquet(tmp_path / "a.parquet")
    keys = list(frame[storage.EPISODE_ORDER].itertuples(index=False, name=None))
    assert keys == sorted(keys)
    assert len(frame) == 9


def test_a_run_directory_reads_back(summary: results.Summary, dropped: Factory, tmp_path: Path):
    summary.write(tmp_path)
    storage.write_json_atomic(tmp_path / "manifest.json", {"command": "benchmark"})
    bare = results.read_run(tmp_path)
    assert bare.timing == results.Timing()
    assert len(bare.episodes) == 0
    assert list(bare.episodes.columns)[:3] == ["arm", "round", "exposure"]
    storage.write_episodes_parquet(tmp_path / results.EPISODES_FILE, [dropped("s0")])
    picture = tmp_path / "report/figures/scene.png"
    storage.write_bytes_atomic(picture, b"png")
    full = results.read_run(tmp_path)
    assert len(full.episodes) == 1
    assert full.pictures == (picture,)
    assert full.manifest == {"command": "benchmark"}


def test_a_run_without_results_is_not_found(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        results.read_run(tmp_path)
