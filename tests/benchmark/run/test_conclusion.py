"""How a run that broke on the way ends."""

from __future__ import annotations

import shlex
import sqlite3
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.errors import IncompleteError
from flow_rag_vla.benchmark.run import conclusion
from flow_rag_vla.benchmark.run.conclusion import work_on_run
from flow_rag_vla.benchmark.scoring import run_files


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), IncompleteError("no rows"), KeyError("arm")])
def test_what_breaks_is_one_line_that_says_how_to_go_on(tmp_path: Path, capfd, error: Exception):
    log = tmp_path / run_files.LOG
    with work_on_run(tmp_path) as work:
        raise error
    assert not work.complete
    line = f"incomplete: {error} (details: {log}); finish it with --resume {tmp_path}\n"
    said = capfd.readouterr()
    assert said.out == line
    # Captured tests keep Python's own stderr away from the descriptor that the log takes.
    assert "Traceback" in said.err + log.read_text()


def test_an_interruption_is_said_and_goes_on(tmp_path: Path, capfd):
    with pytest.raises(KeyboardInterrupt), work_on_run(tmp_path):
        raise KeyboardInterrupt
    assert capfd.readouterr().out == f"interrupted; finish it with --resume {tmp_path}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TypeError("ours\nin two lines"), "TypeError: ours in two lines"),
        (MemoryError(), "out of memory"),
        (AssertionError(), "AssertionError"),
        (sqlite3.OperationalError("disk full"), "OperationalError: disk full"),
    ],
)
def test_a_mistake_of_ours_keeps_its_traceback_in_the_log(tmp_path: Path, capfd, error: Exception, said: str):
    with work_on_run(tmp_path):
        raise error
    out, err = capfd.readouterr()
    assert out == f"incomplete: {said} (details: {tmp_path / run_files.LOG}); finish it with --resume {tmp_path}\n"
    assert "Traceback" in err + (tmp_path / run_files.LOG).read_text()


def test_the_way_to_go_on_is_quoted_for_the_shell(tmp_path: Path, capfd):
    run_dir = tmp_path / "my $runs; it's"
    run_dir.mkdir()
    with work_on_run(run_dir):
        raise ValueError("no")
    words = shlex.split(capfd.readouterr().out.partition("finish it with ")[2])
    assert words == ["--resume", str(run_dir)]


def test_where_nobody_reads_the_console_the_way_to_go_on_is_still_said(tmp_path: Path, monkeypatch):
    def gone(console: object, text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(conclusion, "say", gone)
    told = f"nobody reads the output any more .*finish it with --resume {tmp_path}"
    with pytest.raises(IncompleteError, match=told), work_on_run(tmp_path) as work:
        conclusion.say(work.console, "a line")


def test_a_block_that_ends_is_complete(tmp_path: Path):
    with work_on_run(tmp_path) as work:
        pass
    assert work.complete
