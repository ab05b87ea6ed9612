"""What went wrong in worker processes, kept with the run: which task, how, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.benchmark.command.decoding import decode
from flow_rag_vla.benchmark.scoring import run_files


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
    shard: str | None = None
    """Directory of the shard that it happened in; None in a run of one piece."""


def read_incidents(run_dir: Path) -> list[Incident]:
    """``incidents.json`` of a run; empty without one.

    Raises:
        ValueError: the file is damaged.
    """
    path = run_dir / run_files.INCIDENTS
    if not path.is_file():
        return []
    return decode(list[Incident], read_json_object(path).get("incidents"), f"{path}: $.incidents")


def write_incidents(run_dir: Path, incidents: Sequence[Incident]) -> None:
    """Write them durably."""
    write_json_atomic(run_dir / run_files.INCIDENTS, {"incidents": incidents})


def merged_incidents(shards: Sequence[Path]) -> list[Incident]:
    """Those of all ``shards`` in the order of time, each with its shard; errors as in ``read_incidents``."""
    found = [
        replace(incident, shard=incident.shard or str(shard)) for shard in shards for incident in read_incidents(shard)
    ]
    # Shards that go on from copies of what was merged hold what happened before, too.
    return sorted(dict.fromkeys(found), key=lambda incident: incident.when)


class Incidents:
    """``incidents.json`` of a run."""

    def __init__(self, run_dir: Path) -> None:
        """Those of earlier starts are kept.

        Raises:
            ValueError: the file is damaged.
        """
        self._run_dir = run_dir
        self._all = read_incidents(run_dir)

    def note(self, task: str | None, what: str, answer: str, num_envs: int) -> None:
        """Add one, durably."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        self._all.append(Incident(when, task, what, answer, num_envs))
        write_incidents(self._run_dir, self._all)
