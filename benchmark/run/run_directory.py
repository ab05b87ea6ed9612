"""The run directory: what is written where, and what makes a unit done.

A unit's episodes are appended and synced as they finish; ``DONE.json`` is written last.  Resuming a run means running
the units that lack one.  The files' names are ``run_files``'.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.command.atomic_files import (
    read_json_object,
    write_bytes_atomic,
    write_json_atomic,
    write_lines_atomic,
)
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.provenance import arithmetic_state, hardware_state
from flow_rag_vla.benchmark.episodes.episode_log import append_episodes
from flow_rag_vla.benchmark.episodes.plan import Plan, Unit
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.run.config import BenchmarkSettings, compose_settings
from flow_rag_vla.benchmark.run.integrity.binding import bound, deciding, flattened, require_same
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import MemoryBefore, PlannedUnit, UnfinishedUnitError, read_unit

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.workers.lessons import Lessons
    from flow_rag_vla.tasks.scenarios.scenario_file import ScenarioFile


class RunDirectory:
    """Paths and durable writes of one run."""

    def __init__(self, path: Path) -> None:
        """Wrap an existing or future run directory."""
        self.path = path

    @classmethod
    def create(cls, out: str, name: str) -> RunDirectory:
        """A fresh ``<out>/<utc>_<name>_<8 hex>``.

        Raises:
            UsageError: it cannot be written.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        path = Path(out) / f"{stamp}_{name}_{secrets.token_hex(4)}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise UsageError(f"cannot write to --out {out!r}: {error.strerror}") from None
        return cls(path)

    def discard(self) -> None:
        """Remove the directory of a run that could not start."""
        shutil.rmtree(self.path, ignore_errors=True)

    def start(
        self,
        settings: BenchmarkSettings,
        plan: Plan,
        argv: Sequence[str],
        extra: dict[str, Any],
        files: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Write manifest and plan, before anything runs; ``files`` as in ``deciding``."""
        write_lines_atomic(self.path / run_files.PLAN, plan.lines())
        manifest = {
            **deciding(asdict(settings), file_sha256(self.path / run_files.PLAN), files),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["./isaaclab.sh", "-p", "scripts/benchmark.py", *argv]),
            "hardware": hardware_state(settings.device),
            "arithmetic": arithmetic_state(),
            **extra,
        }
        write_json_atomic(self.path / run_files.MANIFEST, manifest)

    def keep_scenario_file(self, file: ScenarioFile) -> dict[str, Any]:
        """Copy the user's sites and faults here; returns what the manifest says of them."""
        write_bytes_atomic(self.path / run_files.SCENARIOS, file.content)
        return {
            "sha256": file.sha256,
            "sites": {name: site.seed for name, site in zip(file.site_names, file.sites, strict=True)},
        }

    def manifest(self) -> dict[str, Any]:
        """The manifest."""
        return read_json_object(self.path / run_files.MANIFEST)

    def require_version(self) -> None:
        """Refuse to go on with the run of another version.

        Raises:
            UsageError: it is one.
        """
        version = self.manifest().get("schema_version")
        if version != run_files.MANIFEST_VERSION:
            raise UsageError(
                f"{self.path / run_files.MANIFEST}: schema version {version!r}, this code resumes runs of "
                f"{run_files.MANIFEST_VERSION}; start a new run"
            )

    def settings(self) -> BenchmarkSettings:
        """The settings that the run was started with."""
        manifest = self.manifest()
        flat = flattened(manifest["settings"])
        if flat.get("scenario_file"):
            kept = self.path / run_files.SCENARIOS
            if not kept.is_file():
                raise UsageError(f"{kept}: is missing; the run's sites and faults are described there")
            if file_sha256(kept) != (manifest.get("scenario_file") or {}).get("sha256"):
                raise UsageError(f"{kept}: has changed since the run was started; start a new run")
            flat["scenario_file"] = str(kept)
        return compose_settings([f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in flat.items()])

    def require_same(self, settings: BenchmarkSettings, plan: Plan, files: Mapping[str, str]) -> None:
        """Refuse to go on with other code, settings, versions, plan or weights, or after a memory was swapped.

        Raises:
            UsageError: names what differs.
            ValueError: the manifest is damaged.
        """
        now = deciding(asdict(settings), plan.sha256, files)
        if "scenario_file" in (manifest := self.manifest()):
            now["scenario_file"] = manifest["scenario_file"]  # ``settings`` has compared it with the file
        require_same(self.path, now, [unit.id for unit in plan.units])

    def unit(self, unit: Unit) -> Path:
        """Folder of ``unit``."""
        return run_files.unit_folder(self.path, unit.id)

    def why_not_done(self, unit: Unit) -> str:
        """What of ``unit`` is missing or does not agree; empty where it is done."""
        try:
            read_unit(self.path, _planned(unit))
        except UnfinishedUnitError as error:
            return str(error)
        return ""

    def set_aside(self, unit: Unit) -> Path | None:
        """Move what an attempt at ``unit`` left that did not finish; returns where it lies now, None without any."""
        folder = self.unit(unit)
        if not folder.exists():
            return None
        return folder.rename(folder.with_name(f"{folder.name}.interrupted-{secrets.token_hex(3)}"))

    def begin(self, unit: Unit) -> None:
        """An empty folder for ``unit``.

        Raises:
            FileExistsError: an attempt has left one, which nobody has set aside.
        """
        self.unit(unit).mkdir(parents=True)

    def append(self, unit: Unit, records: Sequence[EpisodeRecord]) -> None:
        """Add finished episodes of ``unit``, durable when this returns."""
        with (self.unit(unit) / run_files.EPISODES).open("a", encoding="utf-8") as file:
            append_episodes(file, records)

    def keep_lessons(self, unit: Unit, lessons: Lessons) -> None:
        """Write what ``unit`` teaches its arm's memory.

        Raises:
            FileNotFoundError: the unit's folder is gone; it is not made again.
        """
        folder = self.unit(unit)
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
        lessons.write(folder / run_files.LESSONS)

    def finish(self, unit: Unit, measured: dict[str, Any], before: MemoryBefore | None = None) -> None:
        """Mark ``unit`` done; the last thing written of it.  ``before`` is the memory that it started from."""
        folder = self.unit(unit)
        lessons, latency = folder / run_files.LESSONS, self.path / run_files.LATENCY
        done = {
            "unit": unit.id,
            "episodes": len(unit.episodes),
            "sha256": file_sha256(folder / run_files.EPISODES),
            "lessons_sha256": file_sha256(lessons) if lessons.is_file() else None,
            "memory_before": before,
            "latency_sha256": file_sha256(latency) if unit.round > 0 and latency.is_file() else None,
            "bound": bound(self.manifest()),
            "measured": measured,
        }
        write_json_atomic(self.unit(unit) / run_files.DONE, done)


def _planned(unit: Unit) -> PlannedUnit:
    return PlannedUnit(unit.id, unit.arm, unit.round, unit.keys())
