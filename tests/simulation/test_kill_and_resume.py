"""A benchmark that is killed in the middle of a unit and resumed gives what an undisturbed one gives."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from flow_rag_vla.benchmark.run.config import compose_settings
from flow_rag_vla.benchmark.run.resume import resume_benchmark
from flow_rag_vla.benchmark.run.start import start_benchmark

pytestmark = pytest.mark.sim

OVERRIDES = ("scenarios=24", "rounds=1", "num_envs=24", "max_steps=24", "seed=1", "split=development", "device=cpu")
RESULTS = ("summary.json", "merged/episodes.parquet")

KILLED = """
import os, signal, sys
from flow_rag_vla.benchmark.run import run_directory
from flow_rag_vla.benchmark.run.config import compose_settings
from flow_rag_vla.benchmark.run.start import start_benchmark

append = run_directory.RunDirectory.append
def append_and_die(self, unit, records):
    append(self, unit, records)
    if unit.arm == "parallel":
        os.kill(os.getpid(), signal.SIGKILL)

run_directory.RunDirectory.append = append_and_die
start_benchmark(compose_settings(sys.argv[1:]), [], None)
"""
"""Dies right after the first rows of ``parallel`` have reached the disk, with most of the unit still to run."""


def test_a_killed_run_resumes_to_the_bytes_of_an_undisturbed_one(tmp_path, no_reports, capfd):
    assert start_benchmark(compose_settings([*OVERRIDES, f"out='{tmp_path / 'whole'}'"]), [], no_reports)
    (whole,) = (tmp_path / "whole").iterdir()

    command = [sys.executable, "-c", KILLED, *OVERRIDES, f"out='{tmp_path / 'killed'}'"]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert stopped.returncode == -signal.SIGKILL, stopped.stderr
    (killed,) = (tmp_path / "killed").iterdir()
    (torso,) = (killed / "units").glob("r1-parallel-*")
    assert len((torso / "episodes.jsonl").read_text().splitlines()) == 24
    assert not (torso / "DONE.json").exists()
    assert not (killed / "summary.json").exists()

    assert resume_benchmark(str(killed), no_reports)
    assert "episodes had run when it was interrupted" in capfd.readouterr().out
    for name in RESULTS:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    # What the killed unit had written is set aside, not lost, and counted once.
    (aside,) = (killed / "units").glob("r1-parallel-*.interrupted-*")
    assert len((aside / "episodes.jsonl").read_text().splitlines()) == 24
    starts = json.loads((killed / "starts.json").read_text())["starts"]
    assert len(starts) == 2
    assert json.loads((killed / "timing.json").read_text())["wall_s"] > starts[1]["wall_s"] > 0
