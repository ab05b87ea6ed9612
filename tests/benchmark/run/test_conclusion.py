"""How a run that broke on the way ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.errors import IncompleteError
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


def test_a_mistake_of_ours_keeps_its_traceback(tmp_path: Path):
    with pytest.raises(TypeError), work_on_run(tmp_path):
        raise TypeError("ours")


def test_a_block_that_ends_is_complete(tmp_path: Path):
    with work_on_run(tmp_path) as work:
        pass
    assert work.complete
