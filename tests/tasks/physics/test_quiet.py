"""Console output while native libraries are kept quiet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flow_rag_vla.tasks.physics.quiet import quiet_console

SCRIPT = """
import os, sys
from flow_rag_vla.tasks.physics.quiet import quiet_console
print("before")
with quiet_console(sys.argv[1]) as console:
    os.write(1, b"chatter of a library\\n")
    print("chatter of python")
    console.write("progress\\n")
print("after")
"""


def test_chatter_goes_to_the_log_and_progress_to_the_console(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "physics.log"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(log)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["before", "progress", "after"]
    assert sorted(log.read_text().splitlines()) == ["chatter of a library", "chatter of python"]


def test_a_traceback_reaches_the_console(tmp_path: Path) -> None:
    script = SCRIPT.replace('console.write("progress\\n")', 'raise RuntimeError("broken")')
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "log")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "RuntimeError: broken" in done.stderr


def test_a_log_that_cannot_be_opened_leaves_the_descriptors_alone(tmp_path: Path) -> None:
    opened = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(IsADirectoryError), quiet_console(tmp_path):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == opened
