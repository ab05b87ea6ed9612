"""Done means every planned episode once, as ``DONE.json`` counted and hashed them; else the unit is to run again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.scoring.planned_units import (
    MergedMemory,
    PlannedUnit,
    UnfinishedUnitError,
    is_done,
    read_planned_units,
    read_unit,
)
from flow_rag_vla.benchmark.scoring.score import IncompleteRunError, score_run

UNIT = "units/r1-parallel-22222222"


@pytest.fixture
def parallel(unscored_run: Path) -> PlannedUnit:
    """The run's unit of two episodes, which taught something."""
    (unscored_run / UNIT / "lessons.safetensors").write_bytes(b"cases")
    changed_done(unscored_run, lessons_sha256=hashlib.sha256(b"cases").hexdigest())
    manifest = json.loads((unscored_run / "manifest.json").read_text())
    return read_planned_units(unscored_run, manifest["plan_sha256"])[2]


def changed_done(run_dir: Path, **changes: object) -> None:
    path = run_dir / UNIT / "DONE.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewritten(run_dir: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Other rows, with a ``DONE.json`` that knows them."""
    path = run_dir / UNIT / "episodes.jsonl"
    rows = change(path.read_bytes().splitlines())
    text = b"".join(row + b"\n" for row in rows)
    path.write_bytes(text)
    changed_done(run_dir, episodes=len(rows), sha256=hashlib.sha256(text).hexdigest())


def test_a_whole_unit_is_done_and_read(unscored_run: Path, parallel: PlannedUnit):
    assert is_done(unscored_run, parallel)
    left = read_unit(unscored_run, parallel)
    assert [record.base_scenario_id for record in left.log.records] == ["s0", "s1"]
    assert left.measures.memory_entries == 7


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no DONE": (lambda run: (run / UNIT / "DONE.json").unlink(), "it has no DONE.json"),
    "empty DONE": (lambda run: (run / UNIT / "DONE.json").write_text(""), r"DONE\.json: not valid JSON"),
    "DONE is a list": (lambda run: (run / UNIT / "DONE.json").write_text("[]"), r"DONE\.json: holds a JSON list"),
    "DONE measured nothing": (lambda run: changed_done(run, measured=3), r"DONE\.json: \$\.measured is 3"),
    "rows missing": (lambda run: (run / UNIT / "episodes.jsonl").unlink(), r"episodes\.jsonl is missing"),
    "another count": (lambda run: changed_done(run, episodes=1), "counts 1 episodes, .* holds 2"),
    "another checksum": (lambda run: changed_done(run, sha256="0"), r"episodes\.jsonl is not what DONE\.json has"),
    "no record": (lambda run: rewritten(run, lambda rows: [rows[0], b"{}"]), r"episodes\.jsonl:2: "),
    "rows of two writers": (
        lambda run: rewritten(run, lambda rows: rows * 2),
        "does not hold every planned episode once: 0 missing, 2 that nobody planned or twice",
    ),
    "one twice, one missing": (lambda run: rewritten(run, lambda rows: [rows[0]] * 2), "1 missing, 1 that nobody"),
    "not planned": (
        lambda run: rewritten(run, lambda rows: [rows[0], rows[1].replace(b'"s1-near"', b'"s9-near"')]),
        "1 missing, 1 that nobody planned",
    ),
    "of another arm": (
        lambda run: rewritten(run, lambda rows: [row.replace(b'"parallel"', b'"rag_only"') for row in rows]),
        "does not hold every planned episode once",
    ),
    "no lessons": (
        lambda run: (run / UNIT / "lessons.safetensors").unlink(),
        r"lessons\.safetensors is missing",
    ),
    "other lessons": (
        lambda run: (run / UNIT / "lessons.safetensors").write_bytes(b"others"),
        r"lessons\.safetensors is not what DONE\.json has the sha256 of",
    ),
    "another memory before": (
        lambda run: changed_done(run, memory_before={"arm": "flow_only", "round": 0, "sha256": "other"}),
        "it began with another memory than .*memories/r0-flow_only/failures.sqlite is now",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_unit_that_is_not_whole_is_not_done_and_says_why(unscored_run: Path, parallel: PlannedUnit, damage: str):
    spoil, reason = DAMAGE[damage]
    merged = MergedMemory(2, "0123", None, {})
    write_json_atomic(unscored_run / "memories/r0-flow_only/MERGED.json", merged)
    spoil(unscored_run)
    assert not is_done(unscored_run, parallel)
    with pytest.raises(UnfinishedUnitError, match=reason):
        read_unit(unscored_run, parallel)
    with pytest.raises(IncompleteRunError, match=rf"1 of 3 units are missing \(the first is {parallel.id}: .*{reason}"):
        score_run(unscored_run)
    assert not (unscored_run / "summary.json").exists()
