"""Puts what shards of one run have done into one run directory."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.run.integrity.binding import require_one_run
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.planned_units import PlannedUnit, is_done, read_given_up, read_planned_units
from flow_rag_vla.benchmark.scoring.score import require_run
from flow_rag_vla.benchmark.scoring.starts import Starts
from flow_rag_vla.benchmark.workers.incidents import merged_incidents, write_incidents

_ONCE = (run_files.PLAN, run_files.SCENARIOS, run_files.LATENCY, run_files.LATENCY_PROBE, run_files.MANIFEST)
"""Taken from the first shard that has it."""


@dataclass(frozen=True)
class MergedShards:
    """What shards of a run have done together."""

    missing: list[str]
    """Ids of the units that none has done, in the plan's order."""
    given_up: dict[str, str]
    """Those of them that a shard has given up, and why."""
    before: bool = False
    """They had been merged before."""


def merge_shards(shards: Sequence[Path], target: Path) -> MergedShards:
    """Copy the units that any of ``shards`` has done into the directory ``target``, unless all of them are there.

    Memories are not copied: they are merged from what the units have learned.

    Raises:
        UsageError: they are no shards of one run, one is at work, ``target`` exists and is not what they give, or a
            unit ran twice with other rows.
        ValueError: a file is damaged.
    """
    for shard in shards:
        require_run(shard)
    with ExitStack() as locks:
        # What is read below must not change meanwhile; a target that is one of the shards is locked once.
        before = (target / run_files.MANIFEST).is_file()
        if target.exists() and not before:
            raise UsageError(f"--out {str(target)!r}: exists; expected a folder that is made")
        for folder in {path.resolve(): path for path in (*shards, *([target] if before else []))}.values():
            locks.enter_context(run_lock(folder))
        require_one_run([*shards, target] if before else shards)
        plan_sha256 = read_json_object(shards[0] / run_files.MANIFEST)["plan_sha256"]
        units = read_planned_units(shards[0], plan_sha256)
        owners = {unit.id: _owner(shards, unit) for unit in units}
        if before:
            _require_all(target, units, owners)
            missing = [unit.id for unit in units if not is_done(target, unit)]
        else:
            missing = [unit for unit, owner in owners.items() if owner is None]
        given_up = {unit: why for shard in shards for unit, why in read_given_up(shard).items() if unit in missing}
        if not before:
            _copy(shards, {unit: owner for unit, owner in owners.items() if owner is not None}, target)
    return MergedShards(missing, given_up, before)


def _require_all(target: Path, units: Sequence[PlannedUnit], owners: dict[str, Path | None]) -> None:
    """Refuse a run into which not all that shards have done was merged."""
    for unit in units:
        owner = owners[unit.id]
        if owner is not None and (not is_done(target, unit) or _hashes(target, unit) != _hashes(owner, unit)):
            raise UsageError(
                f"--out {str(target)!r}: exists, and its {unit.id} is not the one of {owner}; expected a folder that "
                "is made"
            )


def _owner(shards: Sequence[Path], unit: PlannedUnit) -> Path | None:
    having = [shard for shard in shards if is_done(shard, unit)]
    hashes = {shard: _hashes(shard, unit) for shard in having}
    for shard in having[1:]:
        if hashes[shard] != hashes[having[0]]:
            raise UsageError(f"{unit.id} ran in {having[0]} and in {shard}, with other rows; leave one of them out")
    return having[0] if having else None


def _hashes(shard: Path, unit: PlannedUnit) -> tuple[object, object]:
    done = read_json_object(run_files.unit_folder(shard, unit.id) / run_files.DONE)
    return done.get("sha256"), done.get("lessons_sha256")


def _copy(shards: Sequence[Path], owners: dict[str, Path], target: Path) -> None:
    """Into a folder beside ``target``, which is there whole or not at all; what a broken off merge has left goes."""
    part = target.with_name(f".{target.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    with run_lock(part):
        if target.exists():
            raise UsageError(f"--out {str(target)!r}: another process has made it meanwhile; start again")
        for left in part.iterdir():
            if left.name != run_files.LOCK:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        for unit, owner in owners.items():
            shutil.copytree(run_files.unit_folder(owner, unit), run_files.unit_folder(part, unit))
        starts = [start for shard in shards if (known := Starts.read(shard)) is not None for start in known.starts]
        # Shards that go on from copies of what was merged hold the starts before it, too.
        Starts(sorted(dict.fromkeys(starts), key=lambda start: start.started)).write(part)
        if incidents := merged_incidents(shards):
            write_incidents(part, incidents)
        for name in _ONCE:
            found = next((shard / name for shard in shards if (shard / name).is_file()), None)
            if found is not None:
                shutil.copy2(found, part / name)
        part.rename(target)
