"""How long each start of a run went on: an interrupted run is resumed, and its wall-clock time adds up."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.decoding import read_record

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
        self._started, self._since = "", 0.0

    def note(self) -> None:
        """Write the time until now."""
        now = Start(self._started, time.monotonic() - self._since)
        Starts([*self._earlier, now]).write(self._run_dir)

    def __enter__(self) -> Self:
        """Start."""
        self._started, self._since = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        self.note()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Note the end, an interruption's too; a full disk then does not hide what ended the start."""
        with suppress(OSError) if error is not None else nullcontext():
            self.note()
