"""A damaged file that a resume makes anew does not stop it: the file is kept beside, and a line says so."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.results import Stills
from flow_rag_vla.benchmark.scoring.starts import Starts
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.benchmark.scoring.timing import Timing

_MADE_ANEW: dict[str, tuple[Callable[[Path], object], str]] = {
    run_files.STARTS: (Starts.read, "a new list of starts begins, and what earlier ones took is not counted"),
    run_files.LATENCY_PROBE: (
        lambda run_dir: Timing.read(run_dir, run_files.LATENCY_PROBE),
        f"decisions are timed anew unless {run_files.TIMING} has their times",
    ),
    run_files.TIMING: (Timing.read, "it is written anew"),
    run_files.SUMMARY: (Summary.read, "it is written anew"),
    run_files.STILLS: (Stills.read, "stills are taken anew"),
}
"""File to who reads it, and what becomes of it.  No row of the run depends on any of them."""


def set_aside_damaged(run_dir: Path) -> list[str]:
    """Rename what is damaged of the files that a resume makes anew to ``*.damaged``; a line on each."""
    notices = []
    for name, (read, then) in _MADE_ANEW.items():
        path = run_dir / name
        if not path.is_file():
            continue
        try:
            read(run_dir)
        except ValueError as error:
            why = str(error).removeprefix(f"{path}: ")
            notices.append(f"{path} is damaged ({why}); it is kept as {_aside(path).name}, {then}")
    return notices


def _aside(path: Path) -> Path:
    kept = path.with_name(f"{path.name}.damaged")
    if kept.exists():
        kept = kept.with_name(f"{kept.name}-{secrets.token_hex(3)}")
    return path.rename(kept)
