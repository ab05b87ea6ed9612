"""One process at a time works on a run: the second is refused and told who the first is."""

from __future__ import annotations

import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.errors import IncompleteError, UsageError
from flow_rag_vla.benchmark.episodes import episode_table
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.integrity.unfinished_writes import remove_unfinished_writes

SCRIPTS = Path(__file__).parents[3] / "scripts"

HOLDS = """
import sys, subprocess
from pathlib import Path
from typing import Any
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def test_a_killed_holder_is_named_until_it_dies_and_leaves_no_lock_even_to_its_children(tmp_path: Path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            who = f"process {holder.pid} on {socket.gethostname()}, since 20"
            with pytest.raises(UsageError, match=who), run_lock(tmp_path):
                pass
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with run_lock(tmp_path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(("script", "arguments"), [("benchmark.py", ["--resume"]), ("report.py", [])])
def test_a_second_command_on_a_run_is_refused_in_one_line_with_exit_code_2(
    unscored_run: Path, script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(sys, "argv", [script, *arguments, str(unscored_run)])
    before = sorted(unscored_run.rglob("*"))
    with run_lock(unscored_run), pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"another process is at work on this run (process {os.getpid()} on {socket.gethostname()}, since" in line
    assert sorted(unscored_run.rglob("*")) == sorted([*before, unscored_run / "run.lock"])


def test_what_a_table_puts_aside_is_told_by_its_name(dropped: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(episode_table, "RUN", 0)
    path = tmp_path / "merged/episodes.parquet"
    with episode_table.EpisodeTable(path) as table:
        table.add([dropped("s0")])
        (waiting,) = path.parent.iterdir()
        assert [entry.name for entry in waiting.iterdir()] == ["0.arrow"]
        remove_unfinished_writes(tmp_path)
        assert not waiting.exists()


def test_what_a_killed_merge_put_aside_goes_at_the_next_one_unless_somebody_is_at_work(unscored_run: Path):
    waiting = unscored_run / "merged/.episodes.parquet.k3_9abcd"
    waiting.mkdir(parents=True)
    (waiting / "0.arrow").touch()
    report = runpy.run_path(str(SCRIPTS / "report.py"))["main"]
    with run_lock(unscored_run), pytest.raises(SystemExit):
        report([str(unscored_run)])
    assert (waiting / "0.arrow").exists()
    assert report([str(unscored_run)]) == 0
    assert [entry.name for entry in waiting.parent.iterdir()] == ["episodes.parquet"]


def test_where_nothing_can_be_locked_is_said(tmp_path: Path):
    with pytest.raises(IncompleteError, match="gone is gone"), run_lock(tmp_path / "gone"):
        pass
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(IncompleteError, match=r"run\.lock cannot be locked: "), run_lock(tmp_path):
        pass
