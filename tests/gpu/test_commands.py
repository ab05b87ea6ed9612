"""Whole commands on a GPU: they end with exit code 0 and leave what they promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.agents.arms.registry import benchmark_arms

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHORT_ON_CPU = ("--scenarios", "32", "--num_envs", "32", "--max_steps", "16")
"""There the commands are run for the sake of these tests alone; episodes may as well time out."""

SETTINGS = {
    "every arm": ("--ablation", "full", "--rounds", "1"),
    "the learned detector": ("detector=learned",),
    "seeing": ("--obs", "rgb"),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_quick_run_ends_with_a_report(settings: tuple[str, ...], device: str, run_script: Callable[..., str]):
    size = SHORT_ON_CPU if device == "cpu" else ()
    said = run_script(str(SCRIPTS / "benchmark.py"), "--quick", "--device", device, *size, *settings)
    report = Path(said.strip().splitlines()[-1])
    assert report.is_file()
    run_dir = report.parents[1]
    manifest, summary, timing = (
        json.loads((run_dir / f"{name}.json").read_text()) for name in ("manifest", "summary", "timing")
    )
    arms = [arm.name for arm in benchmark_arms()] if "full" in settings else ["flow_only", "parallel"]
    assert sorted(summary["arms"]) == sorted(arms)
    assert timing["arms"]["parallel"]["decision_latency_ms"]["p50"] > 0
    assert manifest["settings"]["device"] == device
    if device != "cpu":
        assert manifest["hardware"]["gpu"]
        assert manifest["hardware"]["driver"]
        assert "CUDA" in manifest["reproducible"]


def test_policies_are_trained_from_demonstrations(device: str, run_script: Callable[..., str], tmp_path: Path):
    settings = ("collection.num_demonstrations=16", "collection.num_envs=16", "validation.num_envs=4")
    run_script(str(SCRIPTS / "train.py"), "--preset", "tiny", "--tasks", "lift", f"device={device}", *settings)
    assert (tmp_path / "outputs" / "train" / "tiny" / "policy.safetensors").is_file()


def test_reinforcement_learning_trains(device: str, run_script: Callable[..., str], tmp_path: Path):
    command = ("-m", "isaaclab", "train", "--task", "FlowRAG-Lift-Franka", "--headless")
    run_script(*command, "--num_envs", "16", "--max_iterations", "2", "--device", device)
    assert list((tmp_path / "logs").rglob("model_*.pt"))


def test_failures_are_recorded_for_detectors(device: str, run_script: Callable[..., str], tmp_path: Path):
    sizes = ("--num_episodes", "16", "--num_envs", "16")
    script = str(SCRIPTS / "collect_failures.py")
    run_script(script, "--task", "pick_place", "--out", "failures.safetensors", "--device", device, *sizes)
    assert (tmp_path / "failures.safetensors").stat().st_size > 0


def test_throughput_is_measured_beyond_a_block_of_layouts(device: str, run_script: Callable[..., str], tmp_path: Path):
    num_envs = "64" if device == "cpu" else "32768"
    size = ("--num_envs", num_envs, "--steps", "8", "--arms", "raw,parallel", "--json", "rates.json")
    run_script(str(SCRIPTS / "throughput.py"), "--device", device, "--physics", "newton_mjwarp", *size)
    rows = json.loads((tmp_path / "rates.json").read_text())
    assert [(row["device"], row["num_envs"]) for row in rows] == [(device, int(num_envs))] * 2
    assert all(row["env_steps_per_s"] > 0 for row in rows)
