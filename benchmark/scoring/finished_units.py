"""Reads what the units of a run left behind, one at a time: nothing is kept of a unit but what was measured of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import IncompleteError, resume_flag
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import (
    PlannedUnit,
    UnfinishedUnitError,
    UnitMeasures,
    read_given_up,
    read_planned_units,
    read_unit,
    unmerged,
)
from flow_rag_vla.benchmark.scoring.summary import Gap

Measures = dict[tuple[str, int], list[UnitMeasures]]
"""What was measured of the units of an arm's round, by arm and round in the plan's order."""


class IncompleteRunError(IncompleteError):
    """A run that has not run everything that it planned."""


@dataclass(frozen=True)
class PlannedRun:
    """What scoring needs to know of how a run was made."""

    task: str
    physics: str
    seed: int
    units: list[PlannedUnit]

    @classmethod
    def read(cls, run_dir: Path) -> PlannedRun:
        """Of the run in ``run_dir``, which is one.

        Raises:
            ValueError: its manifest or its plan is damaged.
        """
        path = run_dir / run_files.MANIFEST
        manifest: dict[str, Any] = read_json_object(path)
        version = manifest.get("schema_version", run_files.MANIFEST_VERSION)
        if version not in range(run_files.MANIFEST_VERSION + 1):
            raise ValueError(
                f"{path}: schema version {version!r}, this code reads versions up to {run_files.MANIFEST_VERSION}"
            )
        try:
            settings = manifest["settings"]
            task, physics, seed = str(settings["task"]), str(settings["physics"]), int(settings["seed"])
            plan_sha256 = str(manifest["plan_sha256"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: is no benchmark's manifest, {error} is missing or wrong") from None
        return cls(task, physics, seed, read_planned_units(run_dir, plan_sha256))


class FinishedUnits:
    """What the units of a run left behind; what was not there is known once they are read."""

    def __init__(self, run_dir: Path, run: PlannedRun, on_notice: Callable[[str], None]) -> None:
        """Of ``run`` in ``run_dir``; ``on_notice`` is told in one line of everything that was dropped."""
        self.run, self._run_dir, self._on_notice = run, run_dir, on_notice
        self.measures: Measures = {}
        self.gaps: list[Gap] = []
        """Units that were given up, then episodes whose first attempts are missing."""

    def read(self) -> Iterator[list[EpisodeRecord]]:
        """The episodes of each unit whose first attempt is there, which is all of them where E1 has no gap.

        Raises:
            IncompleteRunError: units are missing, or memories are not merged; after the last unit.
        """
        missing: list[str] = []
        whole: list[PlannedUnit] = []
        without_e1: list[Gap] = []
        given_up, e1 = read_given_up(self._run_dir), set[str]()
        # E1 comes first in the plan.
        for unit in self.run.units:
            try:
                left = read_unit(self._run_dir, unit)
            except UnfinishedUnitError as error:
                if (why := given_up.get(unit.id)) is None:
                    missing.append(f"{unit.id}: {error}")
                else:
                    self.gaps.append(Gap(unit.id, unit.arm, unit.round, len(unit.episodes), why))
                continue
            if left.log.notice:
                self._on_notice(left.log.notice)
            whole.append(unit)
            self.measures.setdefault((unit.arm, unit.round), []).append(left.measures)
            e1.update(r.scenario_id for r in left.log.records if r.exposure is Exposure.E1)
            known = [r for r in left.log.records if r.base_scenario_id in e1]
            if dropped := len(left.log.records) - len(known):
                without_e1.append(Gap(unit.id, unit.arm, unit.round, dropped, "their first attempts are missing"))
            del left
            yield known
        self._require_complete(missing, whole)
        self.gaps += without_e1

    def _require_complete(self, missing: list[str], finished: list[PlannedUnit]) -> None:
        again = f"finish the run with scripts/benchmark.py {resume_flag(self._run_dir)}"
        if missing or not finished:
            first = f" (the first is {missing[0]})" if missing else ""
            count, of = len(missing) + len(self.gaps), len(self.run.units)
            raise IncompleteRunError(f"{self._run_dir}: {count} of {of} units are missing{first}; {again}")
        in_part = {(gap.arm, gap.round) for gap in self.gaps}
        whole = [unit for unit in finished if (unit.arm, unit.round) not in in_part]
        if wrong := unmerged(self._run_dir, whole):
            raise IncompleteRunError(
                f"{self._run_dir}: {', '.join(wrong)}: not merged from what the units have learned; {again}"
            )
