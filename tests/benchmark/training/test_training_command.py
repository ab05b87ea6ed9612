"""The training command: interrupted by kill -9, by Ctrl-C, by a damaged file; what it writes, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path

from flow_rag_vla.agents.policy.checkpoint import load_checkpoint

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


def test_a_signal_leaves_a_state_to_resume_from_and_exits_with_128_and_its_number(runs):
    assert stop_in_the_middle(runs, signal.SIGINT, "stopped", "training.iterations=100000") == 130
    assert f"--resume {TRAIN / 'stopped'}" in runs.log.read_text()
    newest = int(runs.states("stopped")[-1].name[6:15])
    process = runs.start("--resume", str(TRAIN / "stopped"))
    while f"resumed after iteration {newest} of 100000" not in runs.log.read_text():
        assert process.is_alive(), runs.log.read_text()
        time.sleep(0.01)
    process.terminate()
    process.join(60)
    assert process.exitcode == 143


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


def write_script(runs, name: str, text: str) -> None:
    (runs.folder / "scripts").mkdir(exist_ok=True)
    (runs.folder / "scripts" / name).write_text("import json, shutil, sys, time\n" + text)


# So many successes at these iterations.
EVALUATE = """
flags = dict(word[2:].split("=") for word in sys.argv[1:])
assert flags["split"] == "development", flags
number = {10: 1, 20: 4, 30: 7, 40: 2}[int(flags["json"][-len("000000020-pick_place.json"):].split("-")[0].lstrip("0"))]
n = int(flags["num_envs"])
with open(flags["json"], "w") as file:
    json.dump({"success": {"k": number, "n": n, "rate": number / n, "ci95": [0, 1]}}, file)
"""


def test_the_policy_with_the_highest_success_is_kept_beside_the_last(runs):
    settings = ("--preset=tiny", "--tasks=pick_place", "validation.every=10", "training.save_every=7")
    write_script(runs, "evaluate.py", EVALUATE)
    code, output = runs.run(*settings)
    assert code == 0, output
    folder = runs.folder / TRAIN / "tiny"
    assert [line for line in output.splitlines() if ": success " in line] == [
        f"iteration {i}: success pick_place {k}/8" for i, k in ((10, 1), (20, 4), (30, 7), (40, 2))
    ]
    best, last = (load_checkpoint(folder / name) for name in ("policy_best.safetensors", "policy.safetensors"))
    assert (best.training["iteration"], last.training["iteration"]) == (30, 40)
    assert [result["success"] for result in last.training["validation"]] == [0.125, 0.5, 0.875, 0.25]
    assert (folder / "policy_best_bank.safetensors").exists()
    assert "success (development)" in (folder / "curves.svg").read_text()
    assert json.loads((folder / "timing.json").read_text())["parts_s"].keys() >= {"validate pick_place"}


def test_a_validation_that_fails_costs_exit_code_3_and_not_the_policy(runs):
    write_script(runs, "evaluate.py", "sys.exit('no simulator')")
    code, output = runs.run("--preset=tiny", "--tasks=pick_place", "validation.every=20")
    assert code == 3
    assert "pick_place was not validated at iteration 20: evaluate.py failed with exit code 1" in output
    folder = runs.folder / TRAIN / "tiny"
    assert (folder / "policy.safetensors").exists()
    assert not (folder / "policy_best.safetensors").exists()
    assert "no simulator" in (folder / "validation" / "000000020-pick_place.log").read_text()


COLLECT = """
flags = dict(word[2:].split("=") for word in sys.argv[1:])
assert flags["task"] == "FlowRAG-Stack-Franka", flags
shutil.copytree("demonstrations/lift", flags["out"] + "/stack")
"""


def test_missing_demonstrations_are_recorded_and_others_are_left_alone(runs):
    write_script(runs, "collect_demos.py", COLLECT)
    before = sha256(runs.folder / "demonstrations" / "lift" / "wave-000.safetensors")
    code, output = runs.run("--preset=tiny", "--tasks=lift,stack")
    assert code == 0, output
    assert sorted(path.name for path in (runs.folder / "demonstrations").iterdir()) == ["lift", "pick_place", "stack"]
    assert sha256(runs.folder / "demonstrations" / "lift" / "wave-000.safetensors") == before
    assert "recording 32 demonstrations of stack" in output
    assert "demonstrations of lift" not in output


def test_a_recording_that_is_interrupted_or_fails_leaves_no_folder_that_looks_complete(runs):
    write_script(runs, "collect_demos.py", COLLECT + "print('waiting', flush=True)\ntime.sleep(60)")
    process = runs.start("--preset=tiny", "--tasks=stack")
    until = time.monotonic() + 60
    while not list((runs.folder / "demonstrations").glob(".collecting-*/stack/*.safetensors")):
        assert process.is_alive(), runs.log.read_text()
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130
    assert sorted(path.name for path in (runs.folder / "demonstrations").iterdir()) == ["lift", "pick_place"]
    write_script(runs, "collect_demos.py", COLLECT + "sys.exit(1)")
    code, output = runs.run("--resume", str(TRAIN / "tiny"))
    assert code == 3
    assert f"collect_demos.py failed with exit code 1; go on with --resume {TRAIN / 'tiny'}" in output
    assert not (runs.folder / "demonstrations" / "stack").exists()
    write_script(runs, "collect_demos.py", COLLECT)
    code, output = runs.run("--resume", str(TRAIN / "tiny"))
    assert code == 0, output


def test_demonstrations_of_evaluation_layouts_are_refused(runs, write):
    write(runs.folder / "others" / "lift", "FlowRAG-Lift-Franka", layout_seed=20_000_000)
    code, output = runs.run("--preset", "tiny", "--tasks", "lift", "--demonstrations", "others")
    assert code == 2
    assert "layout seed 20000000 is in the evaluation range, only train seeds are allowed" in output
    assert "Traceback" not in output


def test_demonstrations_of_other_contacts_are_refused(runs, write):
    write(runs.folder / "others" / "lift", "FlowRAG-Lift-Franka", contacts="0ld")
    code, output = runs.run("--preset", "tiny", "--tasks", "lift", "--demonstrations", "others")
    assert code == 2
    assert "others: recorded with other contacts or limits of commands (0ld) than the simulator has now (" in output
    assert "Traceback" not in output
