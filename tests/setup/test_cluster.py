"""Shards and Slurm's jobs, with stand-ins for the benchmark and for Slurm."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[2] / "docker/cluster"

BENCHMARK = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >>"$LOG"
[[ -z "${SLEEPS-}" ]] && exit "${CODE-0}"
trap 'exit 138' USR1
trap 'exit 143' TERM
: >"$LOG.ready"
while :; do sleep 0.05; done
"""
"""Says how it was called; with ``$SLEEPS``, runs until it is told to stop."""

SLURM = r"""#!/usr/bin/env bash
printf '%s\n' "$(basename "$0") $*" >>"$LOG"
echo $((100 + $(wc -l <"$LOG")))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the cluster's scripts and a stand-in for everything that they start."""
    root = tmp_path / "a checkout"
    shutil.copytree(CLUSTER, root / "docker/cluster")
    programs = {root / "isaaclab.sh": BENCHMARK, tmp_path / "bin/sbatch": SLURM, tmp_path / "bin/scontrol": SLURM}
    for path, text in programs.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return root


def environment(checkout: Path, **more: str) -> dict[str, str]:
    bin_ = checkout.parent / "bin"
    return {"PATH": f"{bin_}:{os.environ['PATH']}", "LOG": str(checkout.parent / "log"), **more}


def called(checkout: Path) -> list[str]:
    return (checkout.parent / "log").read_text().splitlines()


def run(checkout: Path, script: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(checkout / "docker/cluster" / script), *arguments]
    return subprocess.run(command, env=environment(checkout, **more), capture_output=True, text=True, check=False)


def test_a_shard_counts_from_one_for_the_benchmark_and_has_a_folder_of_its_own(checkout: Path, tmp_path: Path):
    runs = tmp_path / "my runs"
    run(checkout, "shard.sh", "0", "3", str(runs), "--ablation", "all")
    run(checkout, "shard.sh", "2", "3", str(runs), "--ablation", "all")
    assert called(checkout) == [
        f"-p scripts/benchmark.py --shard 1/3 --out {runs}/pass-1/shard-0-of-3 --ablation all",
        f"-p scripts/benchmark.py --shard 3/3 --out {runs}/pass-1/shard-2-of-3 --ablation all",
    ]


def test_a_shard_that_has_begun_is_resumed(checkout: Path, tmp_path: Path):
    begun = tmp_path / "runs/pass-1/shard-1-of-2/20260101T000000Z_all_0123abcd"
    begun.mkdir(parents=True)
    (begun / "manifest.json").write_text("{}")
    run(checkout, "shard.sh", "1", "2", str(tmp_path / "runs"), "--ablation", "all")
    assert called(checkout) == [f"-p scripts/benchmark.py --shard 2/2 --resume {begun}"]


def begin(run_dir: Path) -> Path:
    run_dir.mkdir(parents=True)
    (run_dir / "manifest.json").write_text("{}")
    return run_dir


def test_the_next_pass_goes_on_from_copies_of_what_was_merged(checkout: Path, tmp_path: Path):
    merged = begin(tmp_path / "runs/merged-1")
    (merged / "plan.jsonl").write_text("a plan")
    begin(tmp_path / "runs/pass-1/shard-1-of-2/20260101T000000Z_all_0123abcd")
    for _ in range(2):
        run(checkout, "shard.sh", "1", "2", str(tmp_path / "runs"), "--ablation", "all")
    own = tmp_path / "runs/pass-2/shard-1-of-2/run"
    assert called(checkout) == [f"-p scripts/benchmark.py --shard 2/2 --resume {own}"] * 2
    assert (own / "plan.jsonl").read_text() == "a plan"


def test_a_shards_exit_code_is_the_benchmarks(checkout: Path, tmp_path: Path):
    assert run(checkout, "shard.sh", "0", "2", str(tmp_path), CODE="3").returncode == 3


def test_passes_of_shards_are_submitted_as_arrays_each_merged_before_the_next(checkout: Path, tmp_path: Path):
    runs = tmp_path / "runs"
    result = run(checkout, "slurm_submit.sh", "8", str(runs), "--ablation", "all", GPU="1", PASSES="2")
    first, merge, second, last = called(checkout)
    scripts = checkout / "docker/cluster"
    assert first.startswith(
        f"sbatch --parsable --array=0-7 --output={runs}/log/%A_%a.log --gpus=1 {scripts}/slurm_array.sh"
    )
    assert first.endswith(f"{runs} --ablation all")
    assert merge.startswith("sbatch --parsable --dependency=afterany:101 ")
    assert merge.endswith(f"{scripts}/slurm_merge.sh {runs}")
    assert second.startswith("sbatch --parsable --dependency=afterany:102 --array=0-7 ")
    assert last.startswith("sbatch --parsable --dependency=afterany:103 ")
    assert last.endswith(f"{scripts}/slurm_merge.sh {runs} last")
    assert result.stdout.splitlines()[1:] == [
        "pass 2: shards are job 103, merged by job 104",
        f"report: {runs}/merged-2/report; logs: {runs}/log",
    ]
    run(checkout, "slurm_submit.sh", "2", str(runs), PASSES="5")
    assert len(called(checkout)) == 4 + 10


SLURMS = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_JOB_ID": "77"}


@pytest.mark.parametrize(
    ("told", "code", "queued"), [(signal.SIGUSR1, 0, ["scontrol requeue 77_1"]), (signal.SIGTERM, 143, [])]
)
def test_a_shard_that_is_told_to_stop_is_queued_again_if_its_time_was_over(checkout, tmp_path, told, code, queued):
    scripts = checkout / "docker/cluster"
    process = subprocess.Popen(
        ["bash", str(scripts / "slurm_array.sh"), str(tmp_path / "runs"), "--quick"],
        env=environment(checkout, FLOW_RAG_VLA_HERE=str(scripts), SLEEPS="1", **SLURMS),
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "log.ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(told)
    assert process.wait(20) == code
    assert called(checkout)[1:] == queued


def test_a_shard_that_fails_is_not_queued_again(checkout: Path, tmp_path: Path):
    here = str(checkout / "docker/cluster")
    result = run(checkout, "slurm_array.sh", str(tmp_path / "runs"), FLOW_RAG_VLA_HERE=here, CODE="2", **SLURMS)
    assert result.returncode == 2
    assert len(called(checkout)) == 1


def test_a_merge_checks_what_it_merged_and_misses_what_the_last_pass_left(checkout: Path, tmp_path: Path):
    runs = tmp_path / "runs"
    assert run(checkout, "merge.sh", str(runs)).returncode == 3
    shards = [begin(runs / f"pass-1/shard-{i}-of-2/20260101T000000Z_all_0123abcd") for i in range(2)]
    merge = f"-p scripts/merge.py {shards[0]} {shards[1]} --out {runs}/merged-1"
    assert [run(checkout, "merge.sh", str(runs), *last).returncode for last in ((), ("last",))] == [0, 3]
    assert called(checkout) == [merge] * 2
    merged = begin(runs / "merged-1")
    (merged / "summary.json").write_text("{}")
    assert run(checkout, "merge.sh", str(runs), "last").returncode == 0
    assert called(checkout)[2:] == [merge, f"-p scripts/verify_run.py {runs}/merged-1"]


def test_a_merge_that_was_cut_off_is_started_again_until_the_next_pass_has_begun(checkout: Path, tmp_path: Path):
    runs = tmp_path / "runs"
    first = begin(runs / "pass-1/shard-0-of-1/20260101T000000Z_all_0123abcd")
    begin(runs / "merged-1")
    assert run(checkout, "merge.sh", str(runs)).returncode == 0
    second = begin(runs / "pass-2/shard-0-of-1/run")
    assert run(checkout, "merge.sh", str(runs)).returncode == 0
    assert called(checkout) == [
        f"-p scripts/merge.py {first} --out {runs}/merged-1",
        f"-p scripts/merge.py {second} --out {runs}/merged-2",
    ]


@pytest.mark.parametrize(("last", "gaps", "code"), [("", True, 0), ("last", True, 3), ("", False, 3)])
def test_what_a_shard_gave_up_is_for_the_next_pass(checkout: Path, tmp_path: Path, last: str, gaps: bool, code: int):
    runs = tmp_path / "runs"
    begin(runs / "pass-1/shard-0-of-1/run")
    if gaps:
        (begin(runs / "merged-1") / "gaps.json").write_text("{}")
    assert run(checkout, "merge.sh", str(runs), last, CODE="3").returncode == code
    assert len(called(checkout)) == 1


def test_in_an_image_the_script_there_runs_and_may_write_to_the_runs_folder_alone(checkout: Path, tmp_path: Path):
    script = 'folder=$1 here=/here; source "$0"; printf "%s\\n" "${IN_IMAGE[@]}" "$SHARD"'
    command = ["bash", "-c", script, str(CLUSTER / "in_image.sh"), str(tmp_path)]
    said = subprocess.run(
        command, env=environment(checkout, IMAGE="/a/b.sif", GPU="1"), capture_output=True, text=True, check=True
    ).stdout
    words = said.split()
    assert words[:2] == ["apptainer", "exec"]
    assert {"--containall", "--nv"} <= set(words)
    assert re.findall(r"--bind\n(\S+)", said) == [f"{tmp_path}:{tmp_path}", f"{tmp_path}/cache:/cache"]
    assert words[-2:] == ["/a/b.sif", "/opt/flow-rag-vla/docker/cluster/shard.sh"]


def test_rays_token_is_its_users_alone_and_its_dashboard_stays_off():
    text = (CLUSTER / "slurm_ray.sh").read_text()
    assert "umask 077" in text
    assert "RAY_AUTH_MODE=token" in text
    assert "--include-dashboard=false" in text


@pytest.mark.parametrize("name", ["slurm_array.sh", "slurm_merge.sh", "slurm_ray.sh"])
def test_slurms_options_stand_before_the_first_command(name: str):
    """Slurm reads no further than that."""
    lines = [line for line in (CLUSTER / name).read_text().splitlines() if line]
    options = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    assert options
    assert max(options) < first
