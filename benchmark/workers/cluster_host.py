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
from flow_rag_vla.benchmark.workers.cargo import require_sha256
from flow_rag_vla.benchmark.workers.processes import ChildProcess

type Files = Mapping[str, bytes]
"""Path below a run directory to what is in the file."""


class Host:
    """One worker process and its copy of a run directory, which goes with it."""

    def __init__(self) -> None:
        """An empty folder; no worker yet."""
        self._folder = Path(tempfile.mkdtemp(prefix="flow_rag_vla_"))
        self._worker: ChildProcess | None = None

    def receive(self, name: str, sha256: str, content: bytes) -> None:
        """Keep a file of the user's as ``name``.

        Raises:
            UsageError: ``content`` is not what was sent.
        """
        require_sha256(content, sha256, name)
        self.take({name: content})

    def start(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the worker, when all that it reads then is here.

        Args:
            module: The worker's program; its first argument is the folder of the run.
            arguments: The others.
            environment: Variables of the worker, beside this process's own.
        """
        command = attached(module, str(self._folder), *arguments)
        self._worker = ChildProcess(command, environment, self._folder / "worker.log")

    def take(self, files: Files) -> None:
        """Write ``files``, each whole."""
        for name, content in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def give(self, task: str, files: Files) -> None:
        """Let the worker begin ``task``, which needs ``files``."""
        self.take(files)
        self._started.give(task)

    def hear(self, patience_s: float) -> list[dict[str, Any]] | None:
        """What the worker says within ``patience_s``; None where it has ended."""
        ready, _, _ = select.select([self._started.output], [], [], patience_s)
        return self._started.read() if ready else []

    def results(self, names: Sequence[str]) -> dict[str, bytes]:
        """The files called ``names``; what is not there is left out."""
        return {name: (self._folder / name).read_bytes() for name in names if (self._folder / name).is_file()}

    def exit_code(self) -> int:
        """Of a worker that has ended."""
        return self._started.exit_code()

    def log(self) -> bytes:
        """What the worker and its simulator printed since this was asked before."""
        text = b"".join(path.read_bytes() for path in sorted(self._folder.glob("*log*")) if path.is_file())
        for path in self._folder.glob("*log*"):
            if path.is_file():
                os.truncate(path, 0)
        return text

    def close(self) -> None:
        """End the worker and remove the folder."""
        if self._worker is not None:
            self._worker.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _started(self) -> ChildProcess:
        if self._worker is None:
            raise RuntimeError("the worker is not started")
        return self._worker
