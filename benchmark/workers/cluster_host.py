"""What runs on a node of a cluster: a folder with the run's files, and a worker process beside it.

Nothing here needs Ray: ``cluster`` makes an actor of the class.
"""

from __future__ import annotations

import os
import select
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.attached import attached
from flow_rag_vla.benchmark.workers.processes import ChildProcess

type Files = Mapping[str, bytes]
"""Path below a run directory to what is in the file."""


class Host:
    """One worker process and its copy of a run directory, which goes with it."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], files: Files) -> None:
        """Write ``files`` and start the worker.

        Args:
            module: The worker's program; its first argument is the folder of the run.
            arguments: The others.
            environment: Variables of the worker, beside this process's own.
            files: What the worker reads when it starts.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="flow_rag_vla_"))
        self._log = self._folder / "worker.log"
        self.take(files)
        self._worker = ChildProcess(attached(module, str(self._folder), *arguments), environment, self._log)

    def take(self, files: Files) -> None:
        """Write ``files``, each whole."""
        for name, content in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def give(self, task: str, files: Files) -> None:
        """Let the worker begin ``task``, which needs ``files``."""
        self.take(files)
        self._worker.give(task)

    def hear(self, patience_s: float) -> list[dict[str, Any]] | None:
        """What the worker says within ``patience_s``; None where it has ended."""
        ready, _, _ = select.select([self._worker.output], [], [], patience_s)
        return self._worker.read() if ready else []

    def results(self, names: Sequence[str]) -> dict[str, bytes]:
        """The files called ``names``, and those in the folders called so; what is not there is left out."""
        found: dict[str, bytes] = {}
        for name in names:
            path = self._folder / name
            inside = sorted(path.rglob("*")) if path.is_dir() else [path]
            found |= {str(p.relative_to(self._folder)): p.read_bytes() for p in inside if p.is_file()}
        return found

    def exit_code(self) -> int:
        """Of a worker that has ended."""
        return self._worker.exit_code()

    def log(self) -> bytes:
        """What the worker and its simulator printed since this was asked before."""
        text = b"".join(path.read_bytes() for path in sorted(self._folder.glob("*log*")) if path.is_file())
        for path in self._folder.glob("*log*"):
            if path.is_file():
                os.truncate(path, 0)
        return text

    def close(self) -> None:
        """End the worker and remove the folder."""
        self._worker.end()
        shutil.rmtree(self._folder, ignore_errors=True)
