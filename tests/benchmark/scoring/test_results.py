"""Results read back equal, and damaged ones say where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command import atomic_files
from flow_rag_vla.benchmark.episodes import episode_table
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.scoring import results, run_files
from flow_rag_vla.benchmark.scoring.columns.run_records import RunRecords
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Percentiles, Timing

Factory = Callable[..., EpisodeRecord]


@pytest.fixture
def summary(dropped: Factory, again: Factory) -> Summary:
    first = [dropped(f"s{i}") for i in range(3)]
    records = [*first, *(again(f, arm) for f in first for arm in ("flow_only", "parallel"))]
    return summarise(RunRecords.of(records), task="T", physics="P", memory_entries={"parallel": 3})


def test_a_summary_reads_back_as_it_was(summary: Summary, tmp_path: Path):
    summary.write(tmp_path)
    again = Summary.read(tmp_path)
    assert atomic_files.to_json_bytes(again) == atomic_files.to_json_bytes(summary)


def test_summary_json_has_the_documented_shape(summary: Summary, tmp_path: Path):
    data = json.loads(summary.write(tmp_path).read_text())
    assert data["schema_version"] == 4
    assert {"task", "physics", "e1", "arms"} <= set(data)
    assert {"n", "failed", "fault_fired", "by_type"} <= set(data["e1"])
    arm = data["arms"]["parallel"]
    for exposure in ("exact", "near", "far", "clean", "control"):
        block = arm[exposure]
        assert {"n", "success", "repeated", "substituted", "resolved", "invalid"} <= set(block)
        assert {"k", "n", "rate", "ci95"} <= set(block["success"])
    assert {"rate", "ci95", "mcnemar_p"} <= set(arm["harm"])
    assert {"answer", "payoff", "deployment", "memory_sizes", "retrieved"} <= set(arm)
    said = {"arm", "answer", "gain", "harm", "exposure", "round", "invalid", "max_harm", "limit"}
    assert set(data["verdict"]) == said
    over = data["memory_adds"]["over"]["flow_only"]
    assert set(over) == {"near", "near_known", "far", "far_known", "harm", "net", "ahead", "surely_ahead"}
    assert {"bound_n", "beyond", "largest_force_n", "success", "success_diff", "ci95"} <= set(arm["hard_impacts"])
    assert {"success_diff", "ci95", "mcnemar_p", "rfr_reduction"} <= set(arm["vs_flow_only"])
    assert arm["memory_entries"] == 3
    assert arm["far"]["success"] == {"k": 0, "n": 0, "rate": None, "ci95": None}


def test_timing_reads_back_and_unmeasured_stays_null(tmp_path: Path):
    timing = Timing({"parallel": ArmTiming(Percentiles(1.0, 2.0, 3.0), peak_rss_bytes=5)})
    path = timing.write(tmp_path)
    assert Timing.read(tmp_path) == timing
    assert json.loads(path.read_text())["arms"]["parallel"]["model_bytes"] is None


def test_another_schema_version_is_refused(summary: Summary, tmp_path: Path):
    path = summary.write(tmp_path)
    path.write_text(path.read_text().replace('"schema_version": 4', '"schema_version": 9'))
    with pytest.raises(ValueError, match=r"summary\.json: schema version 9, this code reads 4"):
        Summary.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", "holds a JSON list"), ('{"schema_version": 4}', "missing")],
)
def test_a_damaged_summary_names_its_file(text: str, message: str, tmp_path: Path):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ValueError, match=rf"summary\.json: .*{message}"):
        Summary.read(tmp_path)


def test_a_run_directory_reads_back(summary: Summary, dropped: Factory, tmp_path: Path):
    summary.write(tmp_path)
    atomic_files.write_json_atomic(tmp_path / "manifest.json", {"command": "benchmark"})
    bare = results.read_run(tmp_path)
    assert bare.timing == Timing()
    assert bare.num_episodes == 0
    episode_table.write_episodes_parquet(tmp_path / run_files.MERGED_EPISODES, [dropped("s0")])
    stills = [results.Still("still-repeated.png", "it fails again")]
    results.Stills(stills).write(tmp_path)
    full = results.read_run(tmp_path)
    assert full.num_episodes == 1
    assert full.stills == tuple(stills)
    assert bare.stills == ()
    assert full.manifest == {"command": "benchmark"}


def test_a_run_without_results_is_not_found(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        results.read_run(tmp_path)
