"""How a run that broke on the way ends."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.errors import IncompleteError
from flow_rag_vla.benchmark.run.conclusion import kept_and_said
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.starts import StartClock, Starts


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), IncompleteError("no rows"), KeyError("arm")])
def test_what_breaks_is_one_line_that_says_how_to_go_on(tmp_path: Path, capsys, error: Exception):
    console = io.StringIO()
    with kept_and_said(tmp_path, console) as ending:
        raise error
    assert not ending.complete
    assert console.getvalue() == (
        f"incomplete: {error} (details: {tmp_path / run_files.LOG}); finish it with --resume {tmp_path}\n"
    )
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_is_said_and_goes_on(tmp_path: Path):
    console = io.StringIO()
    with pytest.raises(KeyboardInterrupt), kept_and_said(tmp_path, console):
        raise KeyboardInterrupt
    assert console.getvalue() == f"interrupted; finish it with --resume {tmp_path}\n"


def test_a_mistake_of_ours_keeps_its_traceback(tmp_path: Path):
    with pytest.raises(TypeError), kept_and_said(tmp_path, io.StringIO()):
        raise TypeError("ours")


def test_a_block_that_ends_is_complete(tmp_path: Path):
    with kept_and_said(tmp_path, io.StringIO()) as ending:
        pass
    assert ending.complete


def test_a_time_that_cannot_be_noted_does_not_hide_what_ended_the_start(tmp_path: Path, monkeypatch):
    def full(self: Starts, run_dir: Path) -> None:
        raise OSError(28, "No space left on device")

    clock = StartClock(tmp_path)
    with clock:
        monkeypatch.setattr(Starts, "write", full)
        gone = IncompleteError("the robot is gone")
        clock.__exit__(IncompleteError, gone, None)
        monkeypatch.undo()
    clock.__enter__()
    monkeypatch.setattr(Starts, "write", full)
    with pytest.raises(OSError, match="No space"):
        clock.__exit__(None, None, None)
