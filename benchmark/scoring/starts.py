"""How long each start of a run went on: an interrupted run is resumed, and its wall-clock time adds up."""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.command.decoding import read_record
from flow_rag_vla.benchmark.command.provenance import code_state, hardware_state
from flow_rag_vla.benchmark.scoring import run_files

if TYPE_CHECKING:
    from types import TracebackType

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Start:
    """One start of the run."""

    started: str
    """UTC, ISO 8601."""
    wall_s: float
    """From the start to the last time that was noted, s."""
    host: str | None = None
    cpu: str | None = None
    commit: str | None = None
    """Of the code; what decides the rows is bound by its hash and cannot change between starts."""
    load: float | None = None
    """Mean number of running processes in the minute before."""
    end: str | None = None
    """``done``, ``interrupted`` or ``incomplete``; None while the start goes on, and after one that was killed."""


@dataclass(frozen=True)
class Starts:
    """``starts.json``, oldest first."""

    starts: list[Start]
    schema_version: int = SCHEMA_VERSION

    @property
    def wall_s(self) -> float:
        """Seconds of all starts together."""
        return sum(start.wall_s for start in self.starts)

    def write(self, run_dir: Path) -> None:
        """Write ``starts.json`` atomically."""
        write_json_atomic(run_dir / run_files.STARTS, self)

    @classmethod
    def read(cls, run_dir: Path) -> Starts | None:
        """The starts of a run directory; None where nobody noted any.

        Raises:
            ValueError: damaged, or of another schema version.
        """
        path = run_dir / run_files.STARTS
        return read_record(cls, path, SCHEMA_VERSION) if path.is_file() else None


class StartClock:
    """Runs while its context does; what it noted last survives whatever ends the process."""

    def __init__(self, run_dir: Path) -> None:
        """Read what earlier starts noted.

        Raises:
            ValueError: that is damaged.
        """
        self._run_dir = run_dir
        earlier = Starts.read(run_dir)
        self._earlier = [] if earlier is None else earlier.starts
        self._since = 0.0
        self._start = Start("", 0.0)

    def note(self) -> None:
        """Write the time until now.

        Raises:
            FileNotFoundError: the run directory is gone; it is not made again.
        """
        if not self._run_dir.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the run directory is gone", str(self._run_dir))
        self._start = replace(self._start, wall_s=time.monotonic() - self._since)
        Starts([*self._earlier, self._start]).write(self._run_dir)

    def note_interrupted(self) -> None:
        """For whoever must end the process; what cannot be written is not."""
        self._start = replace(self._start, end="interrupted")
        with suppress(OSError):
            self.note()

    def __enter__(self) -> Self:
        """Start."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        machine, commit = hardware_state("cpu"), code_state()["commit"]
        self._start = Start(started, 0.0, socket.gethostname(), machine["cpu"], commit, machine["load"][0])
        self._since = time.monotonic()
        self.note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note the end, an interruption's too; where that fails, the error under way stays the one that is raised."""
        ended = "done" if error is None else "incomplete" if isinstance(error, Exception) else "interrupted"
        self._start = replace(self._start, end=ended)
        try:
            self.note()
        except OSError as failure:
            if error is None:
                raise
            error.add_note(f"{self._run_dir / run_files.STARTS} could not be written either: {failure}")
