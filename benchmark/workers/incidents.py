"""What went wrong in worker processes, kept with the run: which task, how, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.decoding import decode


@dataclass(frozen=True)
class Incident:
    """One worker's end before its time."""

    when: str
    """UTC, ISO 8601."""
    task: str | None
    """Unit id; None while it was starting."""
    what: str
    answer: str
    """What was done about it."""
    num_envs: int
    """Environments that the next worker has."""


class Incidents:
    """``incidents.json`` of a run."""

    def __init__(self, run_dir: Path) -> None:
        """Those of earlier starts are kept.

        Raises:
            ValueError: the file is damaged.
        """
        self._path = run_dir / run_files.INCIDENTS
        self._all: list[Incident] = []
        if self._path.is_file():
            self._all = decode(list[Incident], read_json_object(self._path).get("incidents"), "$.incidents")

    def note(self, task: str | None, what: str, answer: str, num_envs: int) -> None:
        """Add one, durably."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        self._all.append(Incident(when, task, what, answer, num_envs))
        write_json_atomic(self._path, {"incidents": self._all})
