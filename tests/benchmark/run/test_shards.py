"""Shards of a run, merged after each round, give the bytes of the run in one piece."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.run import resume
from flow_rag_vla.benchmark.run.conclusion import keep_gaps
from flow_rag_vla.benchmark.run.integrity import merge_shards as merging
from flow_rag_vla.benchmark.run.integrity.merge_shards import MergedShards, merge_shards
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.resume import resume_benchmark
from flow_rag_vla.benchmark.workers.incidents import Incidents, merged_incidents, read_incidents
from flow_rag_vla.benchmark.workers.launch import Launch
from flow_rag_vla.benchmark.workers.shard import Shard

REPORTER: Any = SimpleNamespace(build=lambda run_dir: run_dir / "report", table=lambda run_dir: "")
MERGE = str(Path(__file__).parents[3] / "scripts/merge.py")


@pytest.fixture
def start_shards(start_fake: Callable[..., Path], tmp_path: Path) -> Callable[[], list[Path]]:
    """Starts two shares of a run whose E1 has two blocks, as far as either gets."""
    return lambda: [
        start_fake("scenarios=32", out=tmp_path / f"shard {i}", launch=Launch(shard=Shard(i, 2))) for i in (1, 2)
    ]


def units(run: Path) -> list[str]:
    return sorted(done.parent.name.rpartition("-")[0] for done in run.glob("units/*/DONE.json"))


def test_shards_stop_where_they_need_one_another_and_merged_give_the_whole_runs_bytes(
    start_fake: Callable[..., Path],
    start_shards: Callable[[], list[Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd,
):
    shards = start_shards()
    said = capfd.readouterr().out
    assert "shard 1/2: all that it can run now is done; units left: 1 of round 0 in shard 2/2, " in said
    assert [name for name in units(shards[0]) if name.startswith("r0")] == ["r0-flow_only-b0"]
    assert [name for name in units(shards[1]) if name.startswith("r0")] == ["r0-flow_only-b1"]
    assert not [name for run in shards for name in units(run) if "parallel" in name]
    assert not (shards[0] / "summary.json").exists()

    between = tmp_path / "between"
    merge = runpy.run_path(MERGE)["main"]
    assert merge([*map(str, shards), "--out", str(between)]) == 0
    assert "units are left (the first is r1-parallel-b0-" in capfd.readouterr().out
    copies = [shutil.copytree(between, tmp_path / f"copy {i}") for i in (1, 2)]
    for i, copy in enumerate(copies, start=1):
        assert resume_benchmark(str(copy), REPORTER, Launch(shard=Shard(i, 2)))
    assert not set(units(copies[0])) >= set(units(copies[1]))

    merged, whole = tmp_path / "merged", start_fake("scenarios=32", out=tmp_path / "whole")
    shown: list[Path] = []
    monkeypatch.setattr(resume, "render_stills", lambda run_dir, console: shown.append(run_dir))
    assert merge([*map(str, copies), "--out", str(merged)]) == 0
    assert shown == [merged]
    for name in ("plan.jsonl", "summary.json", "merged/episodes.parquet", "memories/r1-parallel/failures.sqlite"):
        assert (merged / name).read_bytes() == (whole / name).read_bytes(), name
    assert (merged / "report/index.html").is_file()


def test_what_is_no_shard_of_the_same_run_is_refused_and_named(start_shards: Callable[[], list[Path]], tmp_path: Path):
    shards = start_shards()
    out = tmp_path / "out"
    manifest = shards[1] / "manifest.json"
    row = json.loads(manifest.read_text())
    row["settings"]["seed"] = 7
    manifest.write_text(json.dumps(row))
    with pytest.raises(UsageError, match=r"shard 2/.* was started with settings\.seed 7 \(.*shard 1.*: 0\)"):
        merge_shards(shards, out)
    with pytest.raises(UsageError, match="exists; expected a folder that is made"):
        merge_shards(shards[:1], tmp_path)
    assert not out.exists()


@pytest.fixture
def whole_shards(start_fake: Callable[..., Path], start_shards: Callable[[], list[Path]], tmp_path: Path) -> list[Path]:
    """Copies of a run that is done, each of which lacks another half of the last round."""
    whole = start_fake("scenarios=32", out=tmp_path / "whole")
    shards = [shutil.copytree(whole, tmp_path / name) for name in ("one", "two")]
    for shard, block in zip(shards, ("b0", "b1"), strict=True):
        shutil.rmtree(next(shard.glob(f"units/r1-parallel-{block}-*")))
    return [whole, *shards]


def test_a_merge_that_was_cut_off_is_finished_when_it_is_started_again(whole_shards: list[Path], tmp_path: Path, capfd):
    whole, *shards = whole_shards
    out, part = tmp_path / "out", tmp_path / ".out.part"
    (part / "units").mkdir(parents=True)  # cut off while it copied
    (part / "units/half a unit").touch()
    assert merge_shards(shards, out) == MergedShards([], {})  # cut off before it scored
    assert not part.exists()
    assert not (out / "units/half a unit").exists()
    assert not (out / "summary.json").exists()
    waiting = out / "merged/.episodes.parquet.k3_9abcd"  # cut off while it scored
    waiting.mkdir(parents=True)
    (waiting / "0.arrow").touch()
    merge = runpy.run_path(MERGE)["main"]
    arguments = [*map(str, shards), "--out", str(out)]
    assert merge(arguments) == 0
    assert f"{out}: these shards are merged there already\n" in capfd.readouterr().out
    assert not waiting.exists()
    for name in ("summary.json", "merged/episodes.parquet", "memories/r1-parallel/failures.sqlite"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert (out / "report/index.html").is_file()
    written = (out / "report/index.html").stat().st_mtime_ns
    assert merge(arguments) == 0
    assert "nothing is left to do; the report is " in capfd.readouterr().out
    assert (out / "report/index.html").stat().st_mtime_ns == written


def test_a_directory_that_lacks_what_a_shard_has_done_is_not_taken_for_merged(whole_shards: list[Path], tmp_path: Path):
    _, one, two = whole_shards
    merge_shards([one], tmp_path / "out")
    with pytest.raises(
        UsageError, match=r"out': exists, and its r1-parallel-b0-\w+ is not the one of .*two; expected a "
    ):
        merge_shards([one, two], tmp_path / "out")


def test_what_another_process_works_on_is_not_even_read(whole_shards: list[Path], tmp_path: Path):
    out, (_, *shards) = tmp_path / "out", whole_shards
    merge_shards(shards, out)
    for busy in (out, shards[0]):
        manifest = busy / "manifest.json"
        content = manifest.read_bytes()
        with run_lock(busy):
            manifest.write_text("{")
            with pytest.raises(UsageError, match=f"{re.escape(str(busy))}: another process is at work on this run"):
                merge_shards(shards, out)
        manifest.write_bytes(content)
    assert merge_shards([*shards, out], out).before  # a target that is one of the shards is locked once


def test_a_target_that_another_process_makes_meanwhile_is_left_alone(
    whole_shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, (_, *shards) = tmp_path / "out", whole_shards

    def made_meanwhile(run_dirs: list[Path]) -> None:
        (out / "units").mkdir(parents=True)

    monkeypatch.setattr(merging, "require_one_run", made_meanwhile)
    with pytest.raises(UsageError, match="out': another process has made it meanwhile; start again"):
        merge_shards(shards, out)
    assert [entry.name for entry in out.iterdir()] == ["units"]


def test_what_went_wrong_in_shards_is_kept_and_what_they_gave_up_is_a_gap_of_the_report(
    whole_shards: list[Path], tmp_path: Path, capfd
):
    shards = whole_shards[1:]
    for shard, block in zip(shards, ("b1", "b0"), strict=True):
        shutil.rmtree(next(shard.glob(f"units/r1-parallel-{block}-*")))
    block = next(whole_shards[0].glob("units/r1-parallel-b0-*")).name
    other = next(whole_shards[0].glob("units/r1-parallel-b1-*")).name
    Incidents(shards[0]).note(block, "ended by signal 9", "given up after 3 attempts", 16)
    Incidents(shards[1]).note(None, "CUDA out of memory", "tried again with 8 environments", 8)
    why = "given up after 3 attempts: ended by signal 9"
    keep_gaps(shards[0], {block: why}, ())
    merge = runpy.run_path(MERGE)["main"]
    assert merge([*map(str, shards), "--out", str(tmp_path / "between")]) == 0
    assert f"1 units are left (the first is {other})" in capfd.readouterr().out

    keep_gaps(shards[1], {other: why}, ())
    out = tmp_path / "out"
    assert merge([*map(str, shards), "--out", str(out)]) == 3
    assert f"2 units are gaps, given up: {block}, {other}; --resume {out}" in capfd.readouterr().err
    kept = [(i.task, i.num_envs, i.shard) for i in read_incidents(out)]
    assert sorted(kept, key=str) == [(block, 16, str(shards[0])), (None, 8, str(shards[1]))]
    assert [gap["unit"] for gap in json.loads((out / "summary.json").read_text())["gaps"]] == [block, other]
    assert why in (out / "report/report.md").read_text()
    assert [i.shard for i in merged_incidents([out, shards[0]])].count(str(shards[0])) == 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/b", "-1/3", "٣/٣"])
def test_what_is_no_shard_is_refused(text: str):
    with pytest.raises(UsageError, match=r"expected i/N with i from 1 to N, such as 1/3"):
        Shard.of(text)


def test_latency_that_every_shard_would_measure_for_itself_is_refused():
    with pytest.raises(UsageError, match="--shard 1/2 with latency=measured"):
        Launch(shard=Shard(1, 2)).require_shardable("measured", measured=False)
    Launch(shard=Shard(1, 2)).require_shardable("measured", measured=True)
