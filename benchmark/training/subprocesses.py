"""Scripts of this project that run in a process of their own: a process holds one simulator."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.training.interruption import Interruption

_POLL_S = 0.1
_GRACE_S = 10.0


class SubprocessError(RuntimeError):
    """A script failed; one line says which and where it wrote."""


def run_script(script: Path, arguments: Sequence[str], interruption: Interruption, log: Path | None = None) -> None:
    """Run ``script`` to its end, its output on the console, or in ``log``.

    Raises:
        SubprocessError: it failed.
        KeyboardInterrupt: it was stopped, as ``interruption`` asked to.
    """
    command = [sys.executable, str(script), *arguments]
    if log is None:
        _wait(subprocess.Popen(command, start_new_session=True), script, interruption, "")
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        _wait(process, script, interruption, f"; its output is in {log}")


def _wait(process: subprocess.Popen[bytes], script: Path, interruption: Interruption, where: str) -> None:
    try:
        while process.poll() is None:
            interruption.check()
            time.sleep(_POLL_S)
    finally:
        # Not in the terminal's group, so that a Ctrl-C reaches it through here alone, and without a traceback.
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise SubprocessError(f"{script.name} failed with exit code {process.returncode}{where}")
