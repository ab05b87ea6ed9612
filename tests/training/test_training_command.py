"""The training command: interrupted by kill -9, by Ctrl-C, by a damaged file; what it writes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path

TINY = ("--preset", "tiny", "--tasks", "pick_place,lift")
TRAIN = Path("outputs/train")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stop_in_the_middle(runs, number: int, name: str, *argv: str) -> int | None:
    """Start a long run and send signal ``number`` once its second state is on disk; returns the exit code."""
    process = runs.start(*TINY, "--name", name, *argv)
    until = time.monotonic() + 60
    while len(runs.states(name)) < 2:
        assert process.is_alive(), runs.log.read_text()
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(process.pid, number)
    process.join(60)
    return process.exitcode


def test_a_run_killed_in_the_middle_and_resumed_ends_with_the_same_file_as_an_uninterrupted_one(runs):
    long = ("training.iterations=300", "training.save_every=20")
    assert stop_in_the_middle(runs, signal.SIGKILL, "killed", *long) == -signal.SIGKILL
    killed = runs.folder / TRAIN / "killed"
    assert not (killed / "policy.safetensors").exists()
    runs.states("killed")[-1].write_bytes(b"damaged")
    code, output = runs.run("--resume", str(TRAIN / "killed"))
    assert code == 0, output
    assert "resumed after iteration" in output
    assert "falling back to the one before" in output
    code, output = runs.run(*TINY, "--name", "whole", *long)
    assert code == 0, output
    assert "beginning at iteration 0" in output
    for file in ("policy.safetensors", "policy_bank.safetensors"):
        assert sha256(killed / file) == sha256(runs.folder / TRAIN / "whole" / file)
    assert runs.states("killed")[-1].name == runs.states("whole")[-1].name  # optimiser and generators, too
    assert (killed / "curves.svg").read_text() == (runs.folder / TRAIN / "whole" / "curves.svg").read_text().replace(
        "whole", "killed"
    )


def test_ctrl_c_leaves_a_state_to_resume_from_and_exit_code_130(runs):
    assert stop_in_the_middle(runs, signal.SIGINT, "stopped", "training.iterations=100000") == 130
    assert f"--resume {TRAIN / 'stopped'}" in runs.log.read_text()
    newest = int(runs.states("stopped")[-1].name[6:15])
    process = runs.start("--resume", str(TRAIN / "stopped"))
    while f"resumed after iteration {newest} of 100000" not in runs.log.read_text():
        assert process.is_alive(), runs.log.read_text()
        time.sleep(0.01)
    process.terminate()
    process.join(60)
    assert process.exitcode == 130


def test_a_run_leaves_policy_bank_curves_log_settings_and_times(runs):
    code, output = runs.run(*TINY, "--name", "once", "--learning_rate", "5e-4", "network.hidden_dim=8")
    assert code == 0, output
    folder = runs.folder / TRAIN / "once"
    settings = json.loads((folder / "config.json").read_text())
    assert (settings["training"]["learning_rate"], settings["network"]["hidden_dim"]) == (5e-4, 8)
    times = json.loads((folder / "timing.json").read_text())
    assert times["parts_s"].keys() == {"load demonstrations", "train", "save"}
    assert list(folder.glob("events.out.tfevents.*"))
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "held out" in (folder / "curves.svg").read_text()
    code, output = runs.run(*TINY, "--name", "once")
    assert code == 2
    assert "holds a run; continue it with --resume" in output.splitlines()[-1]
    code, output = runs.run("--resume", str(TRAIN / "once"))
    assert code == 0, output
    assert "resumed after iteration 40 of 40" in output


def test_demonstrations_of_evaluation_layouts_are_refused(runs, write):
    write(runs.folder / "others" / "lift", "FlowRAG-Lift-Franka", layout_seed=20_000_000)
    code, output = runs.run("--preset", "tiny", "--tasks", "lift", "--demonstrations", "others")
    assert code == 2
    assert "layout seed 20000000 is in the evaluation range, only train seeds are allowed" in output
    assert "Traceback" not in output
