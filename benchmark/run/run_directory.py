"""The run directory: what is written where, and what makes a unit done.

A unit's episodes are appended and synced as they finish; ``DONE.json`` is written last.  Resuming a run means running
the units that lack one.  The files' names are ``run_files``'.
"""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_bytes_atomic, write_json_atomic
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.provenance import code_state, hardware_state
from flow_rag_vla.benchmark.episodes.episode_log import append_episodes
from flow_rag_vla.benchmark.episodes.plan import Plan, Unit
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.run.config import BenchmarkSettings, compose_settings
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import PlannedUnit, UnfinishedUnitError, is_done, read_unit

if TYPE_CHECKING:
    from flow_rag_vla.tasks.scenarios.scenario_file import ScenarioFile

MANIFEST_VERSION = 1
_PACKAGES = ("isaaclab", "newton", "mujoco", "warp-lang", "torch", "faiss-cpu", "faiss-gpu", "numpy")


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

    def start(self, settings: BenchmarkSettings, plan: Plan, argv: Sequence[str], extra: dict[str, Any]) -> None:
        """Write manifest and plan, before anything runs."""
        text = plan.to_jsonl().encode()
        write_bytes_atomic(self.path / run_files.PLAN, text)
        manifest = {
            "schema_version": MANIFEST_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": " ".join(["./isaaclab.sh", "-p", "scripts/benchmark.py", *argv]),
            "settings": asdict(settings),
            "plan_sha256": hashlib.sha256(text).hexdigest(),
            "code": code_state(),
            "versions": {p: _version(p) for p in _PACKAGES} | {"python": platform.python_version()},
            "hardware": hardware_state(settings.device),
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

    def settings(self) -> BenchmarkSettings:
        """The settings that the run was started with."""
        manifest = self.manifest()
        flat = _flatten(manifest["settings"])
        if flat.get("scenario_file"):
            kept = self.path / run_files.SCENARIOS
            if not kept.is_file():
                raise UsageError(f"{kept}: is missing; the run's sites and faults are described there")
            if hashlib.sha256(kept.read_bytes()).hexdigest() != manifest["scenario_file"]["sha256"]:
                raise UsageError(f"{kept}: has changed since the run was started; start a new run")
            flat["scenario_file"] = str(kept)
        return compose_settings([f"{key}={json.dumps(value)}" for key, value in flat.items()])

    def check_plan(self, plan: Plan) -> None:
        """Refuse to resume under another plan.

        Raises:
            UsageError: this version of the code plans the run differently.
        """
        sha = hashlib.sha256(plan.to_jsonl().encode()).hexdigest()
        if sha != self.manifest()["plan_sha256"]:
            raise UsageError(f"{self.path}: the plan of this run was made by other code; start a new run")

    def memory(self, unit: Unit) -> Path:
        """The memory of ``unit``'s arm after it."""
        return self.unit(unit) / run_files.MEMORY

    def unit(self, unit: Unit) -> Path:
        """Folder of ``unit``."""
        return run_files.unit_folder(self.path, unit.id)

    def is_done(self, unit: Unit) -> bool:
        """Whether ``unit`` has finished, and its episodes and its memory are the ones that it wrote."""
        return is_done(self.path, _planned(unit))

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
        (self.unit(unit) / run_files.MEMORY).parent.mkdir(parents=True)

    def append(self, unit: Unit, records: Sequence[EpisodeRecord]) -> None:
        """Add finished episodes of ``unit``, durable when this returns."""
        with (self.unit(unit) / run_files.EPISODES).open("a", encoding="utf-8") as file:
            append_episodes(file, records)

    def finish(self, unit: Unit, measured: dict[str, Any]) -> None:
        """Mark ``unit`` done; the last thing written of it."""
        memory = self.memory(unit)
        done = {
            "unit": unit.id,
            "episodes": len(unit.episodes),
            "sha256": file_sha256(self.unit(unit) / run_files.EPISODES),
            "memory_sha256": file_sha256(memory) if memory.is_file() else None,
            "measured": measured,
        }
        write_json_atomic(self.unit(unit) / run_files.DONE, done)


def _planned(unit: Unit) -> PlannedUnit:
    episodes = ((e.exposure, e.scenario.id, e.base_scenario_id, e.attempt) for e in unit.episodes)
    return PlannedUnit(unit.id, unit.arm, unit.round, tuple(episodes))


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
