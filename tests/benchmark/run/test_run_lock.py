"""One process at a time works on a run: the second is refused and told who the first is."""

from __future__ import annotations

import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.errors import IncompleteError, UsageError
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock

SCRIPTS = Path(__file__).parents[3] / "scripts"

HOLDS = """
import sys, subprocess
from pathlib import Path
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


def test_where_nothing_can_be_locked_is_said(tmp_path: Path):
    with pytest.raises(IncompleteError, match="gone is gone"), run_lock(tmp_path / "gone"):
        pass
    (tmp_path / "run.lock").mkdir()
    with pytest.raises(IncompleteError, match=r"run\.lock cannot be locked: "), run_lock(tmp_path):
        pass
