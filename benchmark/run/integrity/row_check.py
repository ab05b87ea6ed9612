"""The rows of a unit against the plan and against what its ``DONE.json`` says of them, line by line."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.episodes.records import EpisodeKey, EpisodeRecord
from flow_rag_vla.benchmark.run.integrity.finding import Finding
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import PlannedUnit, UnfinishedUnitError, read_unit


@dataclass(frozen=True)
class Row:
    """A record, and where it stands."""

    path: Path
    line: int
    record: EpisodeRecord

    @property
    def key(self) -> EpisodeKey:
        """What tells it apart from the other episodes of its arm's round."""
        record = self.record
        return str(record.exposure), record.scenario_id, record.base_scenario_id, record.attempt


@dataclass(frozen=True)
class CheckedUnit:
    """The rows of a unit that are records, planned and met for the first time, and all that is off."""

    rows: list[Row]
    findings: list[Finding]


def check_unit(run_dir: Path, unit: PlannedUnit, bound: dict[str, Any]) -> CheckedUnit:
    """Every row of ``unit`` that can be read, and what is off with it.

    Args:
        run_dir: Of the run.
        unit: One that its plan lists.
        bound: What the manifest says that decides in the run (``binding.bound``); empty where it does not say it.
    """
    folder = run_files.unit_folder(run_dir, unit.id)
    done_path, path = folder / run_files.DONE, folder / run_files.EPISODES
    if not done_path.is_file():
        return CheckedUnit([], [Finding(folder, f"has not run to its end, there is no {run_files.DONE}", None, True)])
    try:
        done = read_json_object(done_path)
    except ValueError as error:
        done = {}
        findings = [_whole_file(done_path, error)]
    else:
        findings = _differs_from_the_run(done_path, done, bound)
    if not path.is_file():
        return CheckedUnit([], [*findings, Finding(path, "is missing")])
    content = path.read_bytes()
    rows, of_rows = _rows(path, content, unit)
    if done and done.get("sha256") != hashlib.sha256(content).hexdigest():
        of_rows.insert(0, Finding(path, f"its sha256 is not the one in {run_files.DONE}"))
    if done and done.get("episodes") != len(unit.episodes):
        findings.append(Finding(done_path, f"counts {done.get('episodes')} episodes, planned are {len(unit.episodes)}"))
    findings += of_rows
    if not findings:
        # What else belongs to a whole unit, scoring knows.
        try:
            read_unit(run_dir, unit)
        except UnfinishedUnitError as error:
            findings.append(_whole_file(folder, error))
    return CheckedUnit(rows, findings)


def _whole_file(path: Path, error: ValueError) -> Finding:
    return Finding(path, str(error).removeprefix(f"{path}: "))


def _differs_from_the_run(path: Path, done: dict[str, Any], bound: dict[str, Any]) -> list[Finding]:
    """Units of earlier versions are not bound."""
    then = done.get("bound")
    if not isinstance(then, dict):
        return [] if then is None else [Finding(path, f"bound is {then!r}, expected an object")]
    if not bound:
        return []
    others = sorted(name for name in then.keys() | bound.keys() if then.get(name) != bound.get(name))
    told = ", ".join(f"{name} {then.get(name)!r} (in the manifest {bound.get(name)!r})" for name in others)
    return [Finding(path, f"the unit was run with {told}")] if others else []


def _rows(path: Path, content: bytes, unit: PlannedUnit) -> tuple[list[Row], list[Finding]]:
    rows, findings = [], []
    planned = Counter(unit.episodes)
    first_lines: dict[EpisodeKey, int] = {}
    *lines, unfinished = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            row = Row(path, number, EpisodeRecord.from_json(line.decode()))
        except ValueError as error:
            findings.append(Finding(path, str(error), number))
            continue
        if off := _misplaced(row, unit, planned, first_lines):
            findings.append(Finding(path, off, number))
        else:
            rows.append(row)
    if unfinished:
        findings.append(Finding(path, "the last line has no end", len(lines) + 1))
    missing = [key for key in dict.fromkeys(unit.episodes) if key not in first_lines]
    findings += [Finding(path, f"the planned {_named(key)} is missing") for key in missing]
    return rows, findings


def _misplaced(
    row: Row, unit: PlannedUnit, planned: Counter[EpisodeKey], first_lines: dict[EpisodeKey, int]
) -> str | None:
    """Why a row does not belong where it stands; what does is noted in ``first_lines``."""
    record, key = row.record, row.key
    if (record.arm, record.round) != (unit.arm, unit.round):
        return f"is of arm {record.arm}, round {record.round}; the unit is {unit.arm}'s, round {unit.round}"
    if not planned[key]:
        return f"{_named(key)} was not planned here"
    if key in first_lines:
        return f"{_named(key)} is here twice, first on line {first_lines[key]}"
    first_lines[key] = row.line
    return None


def _named(key: EpisodeKey) -> str:
    exposure, scenario, base, attempt = key
    repeats = "" if scenario == base else f" (of {base})"
    return f"{exposure} episode {scenario}{repeats}, attempt {attempt},"
