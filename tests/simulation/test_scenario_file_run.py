"""A benchmark of a user's own sites and faults, from the file to the summary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import flow_rag_vla.tasks
from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT
from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.episodes.episode_log import read_episodes
from flow_rag_vla.benchmark.run.config import compose_settings
from flow_rag_vla.benchmark.run.resume import reopened
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.run_plan import plan_run, scenario_file_of
from flow_rag_vla.benchmark.run.start import start_benchmark

pytestmark = pytest.mark.sim

EXAMPLE = Path(flow_rag_vla.tasks.__file__).parent / "scenarios" / "examples" / "warehouse.yaml"


def test_the_example_runs_unchanged(tmp_path, no_reports):
    settings = compose_settings(
        [
            f"scenario_file='{EXAMPLE}'",
            "scenarios=16",
            "rounds=1",
            "num_envs=32",
            "max_steps=130",
            "device=cpu",
            f"out='{tmp_path}'",
        ]
    )
    assert start_benchmark(settings, ["--scenarios", str(EXAMPLE)], no_reports)
    (path,) = tmp_path.iterdir()
    assert (path / "scenarios.yaml").read_bytes() == EXAMPLE.read_bytes()
    assert json.loads((path / "summary.json").read_text())["e1"]["n"] == 16
    directory = RunDirectory(path)
    settings = directory.settings()
    manifest = directory.manifest()
    assert manifest["policy_sha256"] == file_sha256(DEFAULT_CHECKPOINT)
    write_json_atomic(path / "manifest.json", manifest | {"policy_sha256": "another"})
    with pytest.raises(UsageError, match="the run was started with policy_sha256 another"):
        reopened(str(path))
    plan = plan_run(settings, scenario_file_of(settings))
    e1 = {record.fault: record for record in read_episodes(directory.unit(plan.units[0]) / "episodes.jsonl").records}
    assert {"draught", "slippery_object", "beam", "post", "none"} <= set(e1)
    assert e1["draught"].fault_fired
    assert e1["none"].outcome == "success"
