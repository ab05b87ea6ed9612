"""A run directory is scored from its files alone, and what is missing or damaged is said in one line."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import flow_rag_vla.benchmark.scoring
from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.scoring.planned_units import UnitMeasures, pooled
from flow_rag_vla.benchmark.scoring.score import IncompleteRunError, is_finished, score_run
from flow_rag_vla.benchmark.scoring.starts import Start, StartClock, Starts
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Percentiles, Timing

MODULES = sorted(
    f"flow_rag_vla.benchmark.scoring.{path.stem}"
    for path in Path(flow_rag_vla.benchmark.scoring.__path__[0]).glob("*.py")
    if path.stem != "__init__"
)
PROBED = Timing({"parallel": ArmTiming(Percentiles(1.0, 2.0, 3.0), model_bytes=9)})
SCORED = ("summary.json", "timing.json", "merged/episodes.parquet")


def unit(run_dir: Path, start: str) -> Path:
    (folder,) = (run_dir / "units").glob(f"{start}*")
    return folder


def grow(run_dir: Path, start: str, tail: bytes, episodes: int = 2) -> None:
    """``tail`` after the unit's episodes, as if the unit had written it."""
    folder = unit(run_dir, start)
    text = (folder / "episodes.jsonl").read_bytes() + tail
    (folder / "episodes.jsonl").write_bytes(text)
    done = read_json_object(folder / "DONE.json")
    write_json_atomic(folder / "DONE.json", done | {"sha256": hashlib.sha256(text).hexdigest(), "episodes": episodes})


def test_a_hand_made_run_gives_the_summary_of_its_records(unscored_run: Path):
    summary = score_run(unscored_run)
    assert (summary.task, summary.physics) == ("FlowRAG-PickPlace-Franka", "newton_mujoco")
    assert (summary.e1.n, summary.e1.failed) == (2, 2)
    assert (summary.arms["parallel"].near.resolved, summary.arms["flow_only"].near.repeated) == (1.0, 1.0)
    assert (summary.arms["parallel"].memory_entries, summary.arms["flow_only"].memory_entries) == (7, None)
    assert Summary.read(unscored_run).verdict == summary.verdict
    assert len(pd.read_parquet(unscored_run / "merged/episodes.parquet")) == 6


def test_timing_is_what_probe_units_and_starts_measured(unscored_run: Path):
    PROBED.write(unscored_run, "latency_probe.json")
    Starts([Start("2026-01-01T00:00:00+00:00", 10.5), Start("2026-01-02T00:00:00+00:00", 4.0)]).write(unscored_run)
    score_run(unscored_run)
    timing = Timing.read(unscored_run)
    assert timing.wall_s == 14.5
    assert timing.arms["parallel"].decision_latency_ms == Percentiles(1.0, 2.0, 3.0)
    assert (timing.arms["parallel"].env_steps_per_s, timing.arms["parallel"].memory_bytes) == (1000.0, 4096)
    assert timing.arms["flow_only"].memory_bytes is None


def test_scoring_again_writes_the_same_bytes(unscored_run: Path):
    PROBED.write(unscored_run, "latency_probe.json")
    score_run(unscored_run)
    first = [(unscored_run / name).read_bytes() for name in SCORED]
    score_run(unscored_run)
    assert [(unscored_run / name).read_bytes() for name in SCORED] == first


def test_a_run_of_an_earlier_version_keeps_the_timing_that_only_its_timing_file_has(unscored_run: Path):
    Timing(PROBED.arms, wall_s=77.0).write(unscored_run)
    assert is_finished(unscored_run)
    score_run(unscored_run)
    timing = Timing.read(unscored_run)
    assert timing.wall_s == 77.0
    assert timing.arms["parallel"].decision_latency_ms == Percentiles(1.0, 2.0, 3.0)


def test_a_run_is_finished_when_its_units_are_done_and_decisions_were_timed(unscored_run: Path):
    assert not is_finished(unscored_run)
    score_run(unscored_run)
    assert not is_finished(unscored_run)
    PROBED.write(unscored_run, "latency_probe.json")
    assert is_finished(unscored_run)
    (unit(unscored_run, "r1-parallel") / "DONE.json").unlink()
    assert not is_finished(unscored_run)


def test_an_incomplete_run_says_how_many_units_are_missing_and_what_finishes_it(unscored_run: Path):
    (unit(unscored_run, "r1-parallel") / "DONE.json").unlink()
    with (unit(unscored_run, "r1-flow_only") / "episodes.jsonl").open("a") as file:
        file.write("torn")
    with pytest.raises(IncompleteRunError) as caught:
        score_run(unscored_run)
    message = str(caught.value)
    assert "2 of 3 units are missing (the first is r1-flow_only-11111111: " in message
    assert message.endswith(f"scripts/benchmark.py --resume {unscored_run}")
    assert not (unscored_run / "summary.json").exists()


def test_a_torn_line_that_is_dropped_is_said(unscored_run: Path, capsys: pytest.CaptureFixture[str]):
    grow(unscored_run, "r1-parallel", b'{"v": 1, "arm"')
    notices: list[str] = []
    score_run(unscored_run, notices.append)
    path = unit(unscored_run, "r1-parallel") / "episodes.jsonl"
    assert notices == [f"{path}:3: dropped an unfinished last line"]
    assert capsys.readouterr().err == ""
    score_run(unscored_run)
    assert capsys.readouterr().err == notices[0] + "\n"


@pytest.mark.parametrize(
    ("agent", "allowed"), [({}, 0.02), ({"agent": {"caution": 0.1}}, 0.02), ({"agent": {"max_harm": 7.5}}, 0.075)]
)
def test_the_run_says_how_much_harm_is_allowed_and_earlier_ones_the_default(
    unscored_run: Path, agent: dict, allowed: float
):
    path = unscored_run / "manifest.json"
    manifest = read_json_object(path)
    write_json_atomic(path, manifest | {"settings": manifest["settings"] | agent})
    assert score_run(unscored_run).verdict.max_harm == pytest.approx(allowed)


@pytest.mark.parametrize("agent", ["many", {"max_harm": "many"}])
def test_a_senseless_limit_of_harm_is_said(unscored_run: Path, agent: object):
    path = unscored_run / "manifest.json"
    manifest = read_json_object(path)
    write_json_atomic(path, manifest | {"settings": manifest["settings"] | {"agent": agent}})
    with pytest.raises(ValueError, match=r"manifest\.json: is no benchmark's manifest"):
        score_run(unscored_run)


def test_what_is_no_run_directory_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"no manifest\.json there, so it is no run directory"):
        score_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("manifest.json", "{", r"manifest\.json: not valid JSON"),
        ("manifest.json", "{}", r"manifest\.json: is no benchmark's manifest, 'settings' is missing"),
        ("plan.jsonl", "{}\n", r"plan\.jsonl: has changed since the run was started"),
        ("timing.json", '{"schema_version": 9}', r"timing\.json: schema version 9"),
        ("starts.json", '{"schema_version": 1}', r"starts\.json: .*missing"),
    ],
)
def test_a_damaged_file_is_named(unscored_run: Path, name: str, text: str, message: str):
    (unscored_run / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        score_run(unscored_run)
    assert "\n" not in str(caught.value)


def test_a_missing_or_senseless_plan_is_said(unscored_run: Path):
    plan = '{"unit": "u"}\n'
    manifest = read_json_object(unscored_run / "manifest.json")
    write_json_atomic(
        unscored_run / "manifest.json", manifest | {"plan_sha256": hashlib.sha256(plan.encode()).hexdigest()}
    )
    (unscored_run / "plan.jsonl").write_text(plan)
    with pytest.raises(ValueError, match=r"plan\.jsonl: is no plan of units: 'arm'"):
        score_run(unscored_run)
    (unscored_run / "plan.jsonl").unlink()
    with pytest.raises(ValueError, match=r"plan\.jsonl: is missing"):
        score_run(unscored_run)


def test_the_time_of_two_starts_adds_up_an_interrupted_one_included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = iter([100.0, 100.0, 103.0, 107.0, 500.0, 500.0, 502.5])
    monkeypatch.setattr("time.monotonic", lambda: next(now))

    def interrupted() -> None:
        with StartClock(tmp_path) as clock:
            clock.note()
            assert [(start.wall_s, start.end) for start in json_starts(tmp_path)] == [(3.0, None)]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with StartClock(tmp_path):
        pass
    starts = Starts.read(tmp_path)
    assert starts is not None
    assert [(start.wall_s, start.end) for start in starts.starts] == [(7.0, "interrupted"), (2.5, "done")]
    assert {start.host for start in starts.starts} == {socket.gethostname()}
    assert starts.wall_s == 9.5


def test_a_start_whose_end_cannot_be_noted_raises_what_broke_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: StartClock) -> None:
        raise OSError("disk full")

    def broken(error: Exception | None) -> None:
        with StartClock(tmp_path):
            monkeypatch.setattr(StartClock, "note", full)
            if error is not None:
                raise error

    with pytest.raises(RuntimeError, match="the solver broke") as caught:
        broken(RuntimeError("the solver broke"))
    assert caught.value.__notes__ == [f"{tmp_path}/starts.json could not be written either: disk full"]
    monkeypatch.undo()
    with pytest.raises(OSError, match="disk full"):
        broken(None)


def test_a_run_directory_that_is_gone_is_not_made_again(tmp_path: Path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with pytest.raises(FileNotFoundError, match="the run directory is gone"), StartClock(run_dir):
        shutil.rmtree(run_dir)
    assert not run_dir.exists()


def json_starts(run_dir: Path) -> list[Start]:
    return [Start(**row) for row in json.loads((run_dir / "starts.json").read_text())["starts"]]


def test_the_package_offers_score_run_and_loads_it_when_it_is_asked_for():
    program = (
        "import sys, flow_rag_vla.benchmark.scoring as scoring\n"
        "before = 'scipy' in sys.modules\n"
        "from flow_rag_vla.benchmark.scoring import score_run\n"
        "from flow_rag_vla.benchmark.scoring.score import score_run as defined\n"
        "print(before, score_run is defined is scoring.score_run, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True", "False"]
    with pytest.raises(ImportError, match="cannot import name 'scor_run'"):
        from flow_rag_vla.benchmark.scoring import scor_run  # noqa: F401  # pyright: ignore[reportAttributeAccessIssue]


def test_scoring_needs_neither_torch_nor_a_simulator():
    program = f"import sys, {', '.join(MODULES)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & {"torch", "isaaclab", "newton", "warp"}


def test_a_run_that_stopped_before_its_last_memory_was_merged_is_not_finished(unscored_run: Path):
    PROBED.write(unscored_run, "latency_probe.json")
    folder = unit(unscored_run, "r1-parallel")
    (folder / "lessons.safetensors").write_bytes(b"learned")
    learned, memory = (hashlib.sha256(data).hexdigest() for data in (b"learned", b"cases"))
    done = read_json_object(folder / "DONE.json")
    write_json_atomic(folder / "DONE.json", done | {"lessons_sha256": learned})
    assert not is_finished(unscored_run)
    with pytest.raises(IncompleteRunError, match="r1-parallel: not merged from what the units have learned"):
        score_run(unscored_run)
    merged = unscored_run / "memories/r1-parallel/MERGED.json"
    (merged.parent).mkdir(parents=True)
    merged.with_name("failures.sqlite").write_bytes(b"cases")
    note = {"entries": 11, "sha256": memory, "before": None, "lessons": {"r1-parallel-22222222": learned}}
    write_json_atomic(merged, note)
    assert is_finished(unscored_run)
    assert score_run(unscored_run).arms["parallel"].memory_entries == 11
    for spoilt in (note | {"sha256": "0"}, note | {"lessons": {"r1-parallel-22222222": "0"}}, {}):
        write_json_atomic(merged, spoilt)
        assert not is_finished(unscored_run)


def test_units_that_were_given_up_are_gaps_and_named(unscored_run: Path):
    (unit(unscored_run, "r1-parallel") / "DONE.json").unlink()
    gave_up = {"r1-parallel-22222222": "given up after 3 attempts: ended by signal 9"}
    with pytest.raises(IncompleteRunError):
        score_run(unscored_run)
    write_json_atomic(unscored_run / "gaps.json", gave_up)
    summary = score_run(unscored_run)
    (gap,) = summary.gaps
    assert (gap.arm, gap.round, gap.episodes, gap.why) == ("parallel", 1, 2, *gave_up.values())
    assert Summary.read(unscored_run).gaps == summary.gaps
    assert "parallel" not in summary.arms
    assert not is_finished(unscored_run)


def test_episodes_whose_first_attempt_was_given_up_are_no_results(unscored_run: Path):
    (unit(unscored_run, "r0") / "DONE.json").unlink()
    write_json_atomic(unscored_run / "gaps.json", {"r0-flow_only-00000000": "given up"})
    summary = score_run(unscored_run)
    assert [(gap.arm, gap.round, gap.episodes) for gap in summary.gaps] == [
        ("flow_only", 0, 2),
        ("flow_only", 1, 2),
        ("parallel", 1, 2),
    ]
    assert summary.e1.n == 0


def test_rates_of_blocks_are_pooled_by_their_time():
    blocks = [UnitMeasures(1.0, 100.0, 2.0, memory_bytes=5), UnitMeasures(3.0, 200.0, 4.0, memory_bytes=5)]
    assert pooled(blocks) == UnitMeasures(4.0, 175.0, 3.5, memory_bytes=5)
