"""A finished run as reports read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_bytes_atomic, write_json_atomic
from flow_rag_vla.benchmark.command.decoding import read_record
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.benchmark.scoring.timing import Timing

STILLS_VERSION = 1


@dataclass(frozen=True)
class Still:
    """A picture of one of the run's episodes, beside ``stills.json``."""

    file: str
    caption: str


@dataclass(frozen=True)
class Stills:
    """``stills.json``."""

    stills: list[Still]
    schema_version: int = STILLS_VERSION

    def write(self, run_dir: Path) -> None:
        """Write it atomically."""
        write_json_atomic(run_dir / run_files.STILLS, self)

    @classmethod
    def read(cls, run_dir: Path) -> Stills:
        """The stills of a run directory; none where nobody took any.

        Raises:
            ValueError: damaged, or of another schema version.
        """
        path = run_dir / run_files.STILLS
        return read_record(cls, path, STILLS_VERSION) if path.is_file() else cls([])


@dataclass(frozen=True)
class RunResults:
    """A finished run as reports read it."""

    run_dir: Path
    manifest: dict[str, Any]
    summary: Summary
    timing: Timing
    """Empty where the run was not timed."""
    num_episodes: int
    """Rows of ``episodes.parquet``; 0 where the run kept none."""
    stills: tuple[Still, ...]
    """Pictures of the run's own episodes, in ``report/figures``."""


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """``manifest.json``: how the run was made.

    Raises:
        ValueError: the file does not hold a JSON object.
    """
    return read_json_object(run_dir / run_files.MANIFEST)


def read_run(run_dir: Path) -> RunResults:
    """Everything that a report needs from a run directory.

    Raises:
        FileNotFoundError: no manifest or no summary.
        ValueError: a file is damaged or of another schema version.
    """
    episodes = run_dir / run_files.MERGED_EPISODES
    timed = (run_dir / run_files.TIMING).exists()
    return RunResults(
        run_dir=run_dir,
        manifest=read_manifest(run_dir),
        summary=Summary.read(run_dir),
        timing=Timing.read(run_dir) if timed else Timing(),
        num_episodes=pq.read_metadata(episodes).num_rows if episodes.exists() else 0,
        stills=tuple(Stills.read(run_dir).stills),
    )


def write_report_file(path: Path, data: bytes) -> None:
    """Write a file of the report, whole or not at all."""
    write_bytes_atomic(path, data)


def notices(manifest: Mapping[str, Any]) -> list[str]:
    """What to know before the numbers: whether another run would give the same ones, and what nobody certified."""
    reproducible = manifest.get("reproducible")
    return [*([f"Reproducible: {reproducible}"] if reproducible else []), *_certificate_notices(manifest)]


def _certificate_notices(manifest: Mapping[str, Any]) -> list[str]:
    """What nobody has shown about the run's hazards on its engine; empty where all of them are certified."""
    names = manifest.get("uncertified_faults")
    if not names:
        return []
    listed = ", ".join(names)
    if "certified_physics" in manifest and manifest["certified_physics"] is None:
        return [
            f"No certificate on {manifest.get('physics')}: nothing shows that these hazards bite there and can be "
            f"avoided: {listed} (scripts/certify_scenarios.py --physics {manifest.get('physics')})"
        ]
    return [
        f"Not certified: nothing shows that these hazards bite and can be avoided: {listed} "
        "(scripts/certify_scenarios.py)"
    ]
