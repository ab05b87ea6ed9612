"""Takes outcomes from earlier files instead of playing the episodes again, and refuses those of other episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.engines.cells import Assignment, CellKey
from flow_rag_vla.benchmark.engines.outcomes import PlayedCell, World, read_outcomes


def taken(
    paths: Sequence[Path], world: World, wanted: Sequence[Assignment], out: Path | None = None
) -> dict[CellKey, PlayedCell]:
    """Those of ``wanted`` that the files at ``paths`` hold.

    Args:
        paths: Files that ``write_outcomes`` wrote.
        world: In which ``wanted`` would be played.
        wanted: What is asked for.
        out: The file that is going to hold what is asked for, and nothing else.

    Raises:
        ValueError: a file that is none of ours, holds nothing of what is wanted, was made in another world or by
            another policy, has other scenarios than ``wanted``, contradicts a file before it, or is ``out`` and holds
            more than is wanted.
    """
    by_key = {assignment.key: assignment for assignment in wanted}
    found: dict[CellKey, PlayedCell] = {}
    for path in paths:
        made_in, cells = read_outcomes(path)
        held = [cell for cell in cells if cell.key in by_key]
        if not held:
            raise ValueError(f"{path} holds none of the cells asked for; expected one like {wanted[0].key}")
        if out is not None and path.resolve() == out.resolve() and len(held) < len(cells):
            lost = len(cells) - len(held)
            raise ValueError(f"--json {out} would lose {lost} cells that are not asked for; expected another file")
        if different := world.differences(made_in):
            raise ValueError(f"{path} was made in another world: {'; '.join(different)}")
        for cell in held:
            _require_same(path, cell, by_key[cell.key])
            if found.setdefault(cell.key, cell) != cell:
                raise ValueError(f"{path}: {cell.key}: outcomes are not those of a file before it")
    return found


def _require_same(path: Path, played: PlayedCell, assignment: Assignment) -> None:
    expected = assignment.cell.scenario_ids
    if played.scenario_ids != expected:
        alike = len(set(played.scenario_ids) & set(expected))
        raise ValueError(
            f"{path}: {played.key}: scenarios are not the same: {len(played.ends)}, of which {alike} are among the "
            f"{len(expected)} that --n and --seed name"
        )
    ours, theirs = assignment.checkpoint_sha256, played.checkpoint_sha256
    if ours != theirs:
        raise ValueError(f"{path}: {played.key}: played by the policy {theirs}, expected {ours}")


def made_by_other_code(paths: Sequence[Path], code: Mapping[str, Any]) -> list[str]:
    """One line for each of ``paths`` that another commit wrote, or one with changes that no commit holds.

    Another commit may play the same: this is told, not refused.

    Args:
        paths: Files that ``taken`` has accepted.
        code: Of this checkout, as ``code_state`` says.
    """
    lines = []
    for path in paths:
        theirs = read_json_object(path).get("code") or {}
        if theirs != code or code.get("dirty"):
            lines.append(f"{path} was made by {_state(theirs)}; this is {_state(code)}")
    return lines


def _state(code: Mapping[str, Any]) -> str:
    return f"commit {code.get('commit') or 'unknown'}{' with changes' if code.get('dirty') else ''}"
