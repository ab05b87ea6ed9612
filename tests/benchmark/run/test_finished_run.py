"""What has run is scored and reported without torch and without a simulator, by a resume and ``scripts/report.py``."""

from __future__ import annotations

import hashlib
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.scoring.results import Stills
from flow_rag_vla.benchmark.scoring.starts import Start, Starts
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Percentiles, Timing

SCRIPTS = Path(__file__).parents[3] / "scripts"
HEAVY = {"torch", "isaaclab", "newton", "warp"}


@pytest.fixture
def finished_run(unscored_run: Path) -> Path:
    """Nothing is left to run, and somebody has seen that there is nothing to take stills of."""
    Timing({"parallel": ArmTiming(Percentiles(1.0, 2.0, 3.0))}).write(unscored_run, "latency_probe.json")
    Starts([Start("2026-01-01T00:00:00+00:00", 10.5)]).write(unscored_run)
    Stills([]).write(unscored_run)
    return unscored_run


def script(name: str, *arguments: str | Path) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """What ``name`` did, and the packages that it loaded."""
    program = (
        "import runpy, sys\n"
        f"sys.argv = {[name, *map(str, arguments)]!r}\n"
        f"try:\n    runpy.run_path({str(SCRIPTS / name)!r}, run_name='__main__')\n"
        "except SystemExit as stop:\n    code = stop.code\n"
        "print('LOADED', *{name.split('.')[0] for name in sys.modules})\n"
        "sys.exit(code)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    *lines, loaded = result.stdout.splitlines()
    result.stdout = "\n".join(lines)
    return result, set(loaded.split()[1:])


@pytest.mark.parametrize("command", [("benchmark.py", "--resume"), ("report.py",)])
def test_a_finished_run_is_concluded_without_torch_or_a_simulator(finished_run: Path, command: tuple[str, ...]):
    result, loaded = script(*command, finished_run)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Decision latency" in result.stdout
    assert result.stdout.splitlines()[-1] == str(finished_run / "report/index.html")
    assert (finished_run / "report/index.html").is_file()
    assert read_json_object(finished_run / "summary.json")["e1"]["n"] == 2
    assert read_json_object(finished_run / "timing.json")["wall_s"] == 10.5
    assert not loaded & HEAVY


def test_a_run_that_is_done_is_left_as_it_is_and_its_report_is_named(finished_run: Path):
    assert report(finished_run) == 0
    files = {path: path.read_bytes() for path in finished_run.rglob("*") if path.is_file() and path.name != "run.lock"}
    (finished_run / "report/index.html").write_text("as the user has it")
    result, loaded = script("benchmark.py", "--resume", finished_run)
    page = finished_run / "report/index.html"
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"nothing is left to run; the report is {page}"
    assert page.read_text() == "as the user has it"
    assert all(path.read_bytes() == before for path, before in files.items() if path != page)
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", ["starts.json", "timing.json", "summary.json"])
def test_a_damaged_file_that_is_made_anew_is_kept_beside_and_named(finished_run: Path, name: str):
    assert report(finished_run) == 0
    (finished_run / name).write_text("{torn")
    result, _ = script("benchmark.py", "--resume", finished_run)
    assert (result.returncode, result.stderr) == (0, "")
    first = result.stdout.splitlines()[0]
    assert first.startswith(f"{finished_run / name} is damaged (not valid JSON: ")
    assert f"; it is kept as {name}.damaged, " in first
    assert (finished_run / f"{name}.damaged").read_text() == "{torn"
    assert read_json_object(finished_run / "timing.json")["wall_s"] == 10.5
    result, _ = script("benchmark.py", "--resume", finished_run)
    assert result.stdout == f"nothing is left to run; the report is {finished_run / 'report/index.html'}"


def test_a_run_is_checked_without_torch_or_a_simulator(finished_run: Path):
    assert report(finished_run) == 0
    result, loaded = script("verify_run.py", finished_run)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{finished_run}: sound, 6 episodes in 3 units"
    assert not loaded & HEAVY


def test_a_dropped_line_is_said_on_the_console_and_in_the_log(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    path = finished_run / "units/r1-parallel-22222222/episodes.jsonl"
    done = read_json_object(path.with_name("DONE.json"))
    torn = path.read_bytes() + b"{"
    path.write_bytes(torn)
    path.with_name("DONE.json").write_text(json.dumps(done | {"sha256": hashlib.sha256(torn).hexdigest()}))
    assert report(finished_run) == 0
    notice = f"{path}:3: dropped an unfinished last line"
    assert notice in capsys.readouterr().out.splitlines()
    assert notice in (finished_run / "log.txt").read_text().splitlines()


def test_an_incomplete_run_is_refused_with_exit_code_3(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    (finished_run / "units/r0-flow_only-00000000/DONE.json").unlink()
    assert report(finished_run) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 of 3 units are missing" in line
    assert f"--resume {finished_run}" in line


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: (path / "manifest.json").unlink(), "so it is no run directory"),
        (lambda path: (path / "plan.jsonl").write_text(""), "has changed since the run was started"),
        (lambda path: (path / "summary.json").mkdir(), "Is a directory"),
    ],
)
def test_what_cannot_be_scored_is_one_line_and_exit_code_2(finished_run, spoil, complaint, capsys):
    spoil(finished_run)
    with pytest.raises(SystemExit) as stop:
        report(finished_run)
    assert stop.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert complaint in errors[0]


@pytest.mark.parametrize("blocked", ["report/index.html", "merged", "log.txt"])
def test_where_nothing_can_be_written_resuming_says_so_in_one_line(finished_run: Path, blocked: str):
    path = finished_run / blocked
    path.unlink(missing_ok=True)
    path.write_text("") if blocked == "merged" else path.mkdir()
    result, _ = script("benchmark.py", "--resume", finished_run)
    assert result.returncode == 3
    (line,) = [line for line in (result.stdout + result.stderr).splitlines() if "incomplete" in line]
    assert str(path) in line
    assert f"finish it with --resume {finished_run}" in line
    assert "Traceback" not in result.stdout + result.stderr
    if blocked != "log.txt":
        assert "Traceback" in (finished_run / "log.txt").read_text()


def test_a_folder_without_a_run_is_refused_with_the_flag_that_named_it(tmp_path: Path):
    result, _ = script("benchmark.py", "--resume", tmp_path)
    (line,) = result.stderr.splitlines()
    assert line.endswith(f"--resume {str(tmp_path)!r}: no manifest.json there, so it is no run directory")
    assert result.returncode == 2


def report(run_dir: Path) -> int:
    return runpy.run_path(str(SCRIPTS / "report.py"))["main"]([str(run_dir)])
