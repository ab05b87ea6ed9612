"""Checks a run directory as a reader who trusts nothing in it: nothing is written, nothing is simulated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.episodes.episode_table import EpisodeTable
from flow_rag_vla.benchmark.run.integrity.binding import bound
from flow_rag_vla.benchmark.run.integrity.damaged_files import damaged
from flow_rag_vla.benchmark.run.integrity.finding import Finding, told
from flow_rag_vla.benchmark.run.integrity.pairing_check import PairCheck, check_plan
from flow_rag_vla.benchmark.run.integrity.result_check import check_summary, check_table
from flow_rag_vla.benchmark.run.integrity.row_check import Row, check_unit
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import PlannedUnit, read_planned_units, unmerged
from flow_rag_vla.benchmark.scoring.score import require_run


@dataclass(frozen=True)
class Verification:
    """What was looked at in a run directory, and all that is off."""

    run_dir: Path
    units: int
    episodes: int
    """Rows that are sound, and planned."""
    findings: list[Finding]

    @property
    def code(self) -> ExitCode:
        """``INCOMPLETE`` where all that is off is that the run has not come to its end."""
        if not self.findings:
            return ExitCode.DONE
        return ExitCode.INCOMPLETE if all(finding.unfinished for finding in self.findings) else ExitCode.DAMAGED

    def lines(self) -> list[str]:
        """One for each thing that is off, or one that says that nothing is."""
        if self.findings:
            return list(told(self.findings))
        return [f"{self.run_dir}: sound, {self.episodes} episodes in {self.units} units"]


def verify_run(run_dir: Path) -> Verification:
    """Everything that is off in ``run_dir``.

    Checksums; every planned episode exactly once; arms in pairs, with equal initial states; the merged table and the
    summary against what the rows give.  Rows are read a unit at a time.

    Raises:
        UsageError: it is no run directory.
    """
    require_run(run_dir)
    path = run_dir / run_files.MANIFEST
    try:
        manifest = read_json_object(path)
    except ValueError as error:
        return Verification(run_dir, 0, 0, [Finding(path, str(error).removeprefix(f"{path}: "))])
    units, findings = _planned(run_dir, manifest)
    findings += _run_files(run_dir, manifest)
    binding = _bound(manifest)

    def rows_of(unit: PlannedUnit) -> list[Row]:
        return check_unit(run_dir, unit, binding).rows

    of_units: list[Finding] = []
    pairs, episodes = PairCheck(), 0
    with TemporaryDirectory() as folder, EpisodeTable(Path(folder) / Path(run_files.MERGED_EPISODES).name) as table:
        for unit in units:
            checked = check_unit(run_dir, unit, binding)
            of_units += checked.findings
            pairs.add(unit, checked.rows)
            of_units += _taken(table, run_files.unit_folder(run_dir, unit.id) / run_files.EPISODES, checked.rows)
            episodes += len(checked.rows)
        findings += of_units + pairs.findings(rows_of)
        if not of_units:
            findings += _memories(run_dir, units)
        if not all(finding.unfinished for finding in findings):
            # Which row a flipped bit has changed, the merged table may tell.
            if (run_dir / run_files.MERGED_EPISODES).is_file():
                findings += check_table(run_dir, table, units, rows_of)
        elif not of_units and units:
            findings += check_table(run_dir, table, units, rows_of) + check_summary(run_dir)
    return Verification(run_dir, len(units), episodes, findings)


def _taken(table: EpisodeTable, path: Path, rows: Sequence[Row]) -> list[Finding]:
    """Put the records of ``rows``, which stand in ``path``, into ``table``."""
    try:
        table.add([row.record for row in rows])
    except (ValueError, OverflowError) as error:
        return [Finding(path, f"holds what no table can: {error}")]
    return []


def _planned(run_dir: Path, manifest: Mapping[str, Any]) -> tuple[list[PlannedUnit], list[Finding]]:
    """The units of the plan that is there, although it may not be the one that the run was started with."""
    path = run_dir / run_files.PLAN
    findings = []
    if not path.is_file():
        return [], [Finding(path, "is missing, so nobody knows what the run was to do")]
    sha256 = file_sha256(path)
    if manifest.get("plan_sha256") != sha256:
        findings.append(Finding(path, f"its sha256 is not the one in {run_files.MANIFEST}"))
    try:
        units = read_planned_units(run_dir, sha256)
        return units, findings + check_plan(run_dir, units)
    except (ValueError, KeyError) as error:
        return [], [*findings, Finding(path, str(error).removeprefix(f"{path}: "), _first_bad_line(path))]


def _first_bad_line(path: Path) -> int | None:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                json.loads(line)
            except ValueError:
                return number
    return None


def _run_files(run_dir: Path, manifest: Mapping[str, Any]) -> list[Finding]:
    """Of the manifest itself and the small files beside it."""
    path, kept = run_dir / run_files.MANIFEST, run_dir / run_files.SCENARIOS
    findings = []
    if manifest.get("schema_version") == run_files.MANIFEST_VERSION:
        try:
            bound(manifest)
        except ValueError as error:
            findings.append(Finding(path, str(error)))
    described = manifest.get("scenario_file")
    if isinstance(described, dict):
        if not kept.is_file():
            findings.append(Finding(kept, "is missing"))
        elif hashlib.sha256(kept.read_bytes()).hexdigest() != described.get("sha256"):
            findings.append(Finding(kept, f"its sha256 is not the one in {run_files.MANIFEST}"))
    # The summary is compared with the rows.
    findings += [Finding(run_dir / name, why) for name, why in damaged(run_dir) if name != run_files.SUMMARY]
    return findings


def _memories(run_dir: Path, units: Sequence[PlannedUnit]) -> list[Finding]:
    """Of what is merged from what ``units``, all of them sound, have learned."""
    folders = (run_dir / run_files.MEMORIES / name for name in unmerged(run_dir, units))
    return [Finding(folder / run_files.MEMORY, "is not what its units' lessons were merged into") for folder in folders]


def _bound(manifest: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return bound(manifest)
    except ValueError:
        return {}
