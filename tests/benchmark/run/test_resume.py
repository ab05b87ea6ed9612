"""A resume trusts nothing: what differs is refused and named, what is not whole runs again to the same results."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.benchmark.command import provenance
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.episodes.plan import Unit
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.run import cli, decision_times
from flow_rag_vla.benchmark.run.resume import resume_benchmark
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.scoring.score import is_finished
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Percentiles, Timing

REPORTER: Any = SimpleNamespace(build=lambda run_dir: run_dir / "report", table=lambda run_dir: "")
RESULTS = ("summary.json", "merged/episodes.parquet")


@pytest.fixture
def run(start_fake: Callable[..., Path]) -> Path:
    """A run of three units that is whole."""
    path = start_fake()
    assert is_finished(path)
    return path


def edited(path: Path, change: Callable[[dict], object]) -> None:
    row = json.loads(path.read_text())
    change(row)
    path.write_text(json.dumps(row))


def unit(run: Path, start: str) -> Path:
    """The first block of the arm's round that ``start`` names."""
    return min(path for path in (run / "units").glob(f"{start}*") if "." not in path.name)


def unfinish(run: Path) -> None:
    """As if the last unit had been interrupted."""
    (unit(run, "r1-parallel") / "DONE.json").unlink()


def test_whatever_differs_is_refused_and_named_in_one_line(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    unfinish(run)
    e1 = unit(run, "r0").relative_to(run)

    def gate(row: dict) -> None:
        row["settings"]["agent"]["confidence_gate"] = 0.9

    differences: dict[str, tuple[str, Callable[[dict], object], str]] = {
        "schema": ("manifest.json", lambda row: row.update(schema_version=99), "schema version 99, this code "),
        "code": (
            "manifest.json",
            lambda row: row["code"].update(sha256="0" * 64),
            r"the run was started with code\.sha256 000000000000… \(now [0-9a-f]{12}…\); start a new run",
        ),
        "version": (
            "manifest.json",
            lambda row: row["versions"].update(torch="1.0"),
            r"started with versions\.torch 1\.0 \(now 2",
        ),
        "weights": ("manifest.json", lambda row: row.update(policy_sha256="other"), "started with policy_sha256 other"),
        "contacts": ("manifest.json", lambda row: row.update(contacts_sha256="other"), "with contacts_sha256 other"),
        "plan": ("manifest.json", lambda row: row.update(plan_sha256="other"), r"plan\.jsonl: has changed since"),
        "settings": (
            "manifest.json",
            gate,
            rf"{e1.name} was run with settings\.agent\.confidence_gate 0\.5 \(now 0\.9\); start a new run",
        ),
        "unit": (
            f"{e1}/DONE.json",
            lambda row: row["bound"].update({"versions.mujoco": "1.0"}),
            rf"{e1.name} was run with versions\.mujoco 1\.0 \(now ",
        ),
        "no manifest": ("manifest.json", lambda row: row.pop("code"), r"manifest\.json: is no benchmark's manifest"),
    }
    for name, (file, change, complaint) in differences.items():
        copy = tmp_path / f"copy of {name}"
        shutil.copytree(run, copy)
        edited(copy / file, change)
        with pytest.raises(ValueError, match=complaint) as refused:
            resume_benchmark(str(copy), REPORTER)
        assert "\n" not in str(refused.value)
        assert not list((copy / "units").glob("*.interrupted-*"))

    monkeypatch.setattr(provenance, "code_sha256", lambda: "f" * 64)
    with pytest.raises(UsageError, match=r"--resume .* started with code\.sha256 .* \(now ffffffffffff…\)"):
        resume_benchmark(str(run), REPORTER)


def test_other_lessons_of_a_finished_unit_are_refused_and_named(run: Path):
    lessons = unit(run, "r0") / "lessons.safetensors"
    lessons.write_bytes((unit(run, "r1-parallel") / "lessons.safetensors").read_bytes() + b"\0")
    with pytest.raises(UsageError, match=r"r0-.*lessons\.safetensors is not what its unit has learned .* delete the"):
        resume_benchmark(str(run), REPORTER)


@pytest.mark.parametrize(
    "file", ["r0-flow_only/failures.sqlite", "r1-parallel/MERGED.json", "r0-flow_only/MERGED.json"]
)
def test_a_memory_that_is_not_what_its_units_taught_is_merged_again_and_no_unit_runs(run: Path, file: str):
    memories = {path: path.read_bytes() for path in (run / "memories").rglob("*") if path.is_file()}
    (run / "memories" / file).write_bytes(b"others")
    assert not is_finished(run)
    assert resume_benchmark(str(run), REPORTER)
    assert is_finished(run)
    assert {path: path.read_bytes() for path in memories} == memories
    assert not list((run / "units").glob("*.interrupted-*"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: (unit(run, "r1-parallel") / "DONE.json").write_text(""),
        lambda run: (unit(run, "r0") / "lessons.safetensors").unlink(),
        lambda run: (unit(run, "r1-flow_only") / "episodes.jsonl").open("ab").write(b"{}\n"),
    ],
    ids=["empty DONE", "missing lessons", "a row too many"],
)
def test_what_is_not_whole_runs_again_to_the_same_results(run: Path, spoil: Callable[[Path], object], capfd):
    before = {name: (run / name).read_bytes() for name in RESULTS}
    spoil(run)
    assert not is_finished(run)
    assert resume_benchmark(str(run), REPORTER)
    assert is_finished(run)
    assert {name: (run / name).read_bytes() for name in RESULTS} == before
    assert len(list((run / "units").glob("*.interrupted-*"))) == 1
    assert "they are set aside in" in capfd.readouterr().out


def test_a_unit_that_began_with_another_memory_runs_again(run: Path, capfd):
    """As after E1 ran again on an engine that does not give the same bits."""
    edited(unit(run, "r1-parallel") / "DONE.json", lambda row: row["memory_before"].update(sha256="other"))
    assert resume_benchmark(str(run), REPORTER)
    assert "it began with another memory than" in capfd.readouterr().out
    assert is_finished(run)


def test_a_file_of_weights_is_found_again_from_another_folder(start_fake, monkeypatch, tmp_path: Path):
    from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT

    home, other = tmp_path / "it's my home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    (home / "pölicy.safetensors").write_bytes(DEFAULT_CHECKPOINT.read_bytes())
    monkeypatch.chdir(home)
    path = start_fake("checkpoint='pölicy.safetensors'", out=tmp_path / "runs")
    monkeypatch.chdir(other)
    unfinish(path)
    assert resume_benchmark(str(path), REPORTER)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGUSR1", 138)])
def test_a_stopped_run_keeps_its_rows_is_marked_and_resumes_to_the_same_results(
    run: Path, name: str, code: int, monkeypatch: pytest.MonkeyPatch, capfd
):
    before = {name: (run / name).read_bytes() for name in RESULTS}
    unfinish(run)
    append = RunDirectory.append

    def append_and_be_stopped(self: RunDirectory, unit: Unit, records: list[EpisodeRecord]) -> None:
        append(self, unit, records)
        signal.raise_signal(signal.Signals[name])

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "append", append_and_be_stopped)
        assert cli.main(["--resume", str(run)], REPORTER) == code
    said = capfd.readouterr()
    assert said.out.splitlines()[-1] == f"interrupted; finish it with --resume {run}"
    assert said.err.splitlines()[-1] == f"benchmark.py: interrupted by {name}"
    assert len((unit(run, "r1-parallel") / "episodes.jsonl").read_text().splitlines()) == 16
    assert [start["end"] for start in starts(run)] == ["done", "interrupted"]
    assert cli.main(["--resume", str(run)], REPORTER) == 0
    assert {name: (run / name).read_bytes() for name in RESULTS} == before
    assert [start["end"] for start in starts(run)] == ["done", "interrupted", "done"]
    total = json.loads((run / "timing.json").read_text())["wall_s"]
    assert total == pytest.approx(sum(start["wall_s"] for start in starts(run)))


def starts(run: Path) -> list[dict]:
    return json.loads((run / "starts.json").read_text())["starts"]


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda path: full(), r"\[Errno 28\] No space left on device"),
        (lambda path: shutil.rmtree(path), r"\[Errno 2\] No such file or directory"),
    ],
    ids=["disk full", "folder vanished"],
)
def test_a_disk_that_gives_out_is_one_line_with_exit_code_3(run: Path, break_it, why: str, monkeypatch, capfd):
    unfinish(run)
    append = RunDirectory.append

    def append_then_break(self: RunDirectory, unit: Unit, records: list[EpisodeRecord]) -> None:
        append(self, unit, records)
        break_it(run)

    monkeypatch.setattr(RunDirectory, "append", append_then_break)
    assert cli.main(["--resume", str(run)], REPORTER) == 3
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("incomplete: ")]
    assert re.search(rf"{why}.*finish it with --resume {run}$", line)
    if why.endswith("directory"):
        assert not run.exists()


def full() -> None:
    raise OSError(28, "No space left on device")


def test_a_damaged_probe_and_damaged_starts_are_made_anew(run: Path, capfd):
    before = {name: (run / name).read_bytes() for name in RESULTS}
    (run / "latency_probe.json").write_text("{torn")
    (run / "timing.json").write_text("")
    (run / "starts.json").write_text('{"schema_version": 1, "starts": [{"started": 3}]}')
    assert resume_benchmark(str(run), REPORTER)
    said = capfd.readouterr().out
    assert "it is kept as latency_probe.json.damaged, decisions are timed anew unless timing.json has" in said
    assert "it is kept as starts.json.damaged, a new list of starts begins" in said
    assert is_finished(run)
    assert [start["end"] for start in starts(run)] == ["done"]
    assert {name: (run / name).read_bytes() for name in RESULTS} == before


@pytest.fixture
def measured_run(start_fake: Callable[..., Path]) -> Path:
    """A whole run whose E2 simulates the decision times that were measured."""
    return start_fake("latency=measured")


def test_damaged_decision_times_are_those_of_the_probe_again(measured_run: Path, capfd):
    run = measured_run
    kept = ("latency.json", *RESULTS)
    before = {name: (run / name).read_bytes() for name in kept}
    for torn in ("{torn", '{"parallel": "fast"}', '{"parallel": -1.0}', "[]"):
        (run / "latency.json").write_text(torn)
        unfinish(run)
        assert resume_benchmark(str(run), REPORTER)
        assert "is kept as latency.json.damaged" in capfd.readouterr().out
        assert {name: (run / name).read_bytes() for name in kept} == before
    assert not list(run.glob("units/r1-flow_only*.interrupted-*"))


def test_what_simulated_decision_times_that_nobody_knows_any_more_runs_again(
    measured_run: Path, monkeypatch: pytest.MonkeyPatch
):
    run = measured_run
    for name in ("latency.json", "latency_probe.json", "timing.json"):
        (run / name).write_text("{torn")
    slower = Timing({"parallel": ArmTiming(Percentiles(7.0, 8.0, 9.0))})
    monkeypatch.setattr(decision_times.DecisionTimes, "_probe", lambda self: slower)
    assert resume_benchmark(str(run), REPORTER)
    assert json.loads((run / "latency.json").read_text()) == {"parallel": 7.0}
    again = {path.name.partition("-b")[0] for path in run.glob("units/*.interrupted-*")}
    assert again == {"r1-flow_only", "r1-parallel"}


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(run: Path):
    unfinish(run)
    names = (".summary.json.7.tmp", "merged/.episodes.parquet.812.tmp", "report/.index.html.7.tmp")
    names += tuple(
        f"memories/r0-flow_only/.7.failures.sqlite{end}" for end in ("", ".unfinished", ".unfinished-journal")
    )
    names += ("merged/.episodes.parquet.k3_9abcd/0.arrow",)
    others = ("merged/.episodes.parquet.mine/0.arrow", "merged/.note", "report/.episodes.parquet.k3_9abcd/0.arrow")
    for name in (*names, *others, ".note", ".tmp"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("half a")
    assert resume_benchmark(str(run), REPORTER)
    left = {str(path.relative_to(run)) for path in run.rglob(".*")}
    assert left == {".note", ".tmp", *(name.removesuffix("/0.arrow") for name in others)}


def test_results_of_rows_that_change_do_not_stand_while_they_do(run: Path, monkeypatch: pytest.MonkeyPatch):
    unfinish(run)
    monkeypatch.setattr(RunDirectory, "append", lambda self, unit, records: full())
    assert not resume_benchmark(str(run), REPORTER)
    assert not [name for name in RESULTS if (run / name).exists()]
