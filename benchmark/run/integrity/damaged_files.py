"""A damaged file that a resume makes anew does not stop it: the file is kept beside, and a line says so."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.results import Stills
from flow_rag_vla.benchmark.scoring.score import probed_timing
from flow_rag_vla.benchmark.scoring.starts import Starts
from flow_rag_vla.benchmark.scoring.summary import Summary
from flow_rag_vla.benchmark.scoring.timing import Timing, read_medians
from flow_rag_vla.benchmark.workers.incidents import read_incidents

_MADE_ANEW: dict[str, tuple[Callable[[Path], object], str]] = {
    run_files.STARTS: (Starts.read, "a new list of starts begins, and what earlier ones took is not counted"),
    run_files.INCIDENTS: (read_incidents, "a new list of incidents begins"),
    run_files.LATENCY: (
        read_medians,
        f"it is made anew of {run_files.LATENCY_PROBE}; where decisions must be timed again, what simulated other "
        "times runs again",
    ),
    run_files.LATENCY_PROBE: (
        lambda run_dir: Timing.read(run_dir, run_files.LATENCY_PROBE),
        f"decisions are timed anew unless {run_files.TIMING} has their times",
    ),
    run_files.TIMING: (Timing.read, "it is written anew"),
    run_files.SUMMARY: (Summary.read, "it is written anew"),
    run_files.STILLS: (Stills.read, "stills are taken anew"),
}
"""File to who reads it, and what becomes of it.  Rows depend on none of them but the times that they simulated, whose
hash their units keep."""


def damaged(run_dir: Path) -> Iterator[tuple[str, str]]:
    """Of the files that a resume makes anew, those that are damaged, and why."""
    for name, (read, _) in _MADE_ANEW.items():
        path = run_dir / name
        if path.is_file():
            try:
                read(run_dir)
            except ValueError as error:
                yield name, str(error).removeprefix(f"{path}: ")


def set_aside_damaged(run_dir: Path) -> list[str]:
    """Rename what is damaged of the files that a resume makes anew to ``*.damaged``; a line on each."""
    notices, remade = [], False
    for name, why in damaged(run_dir):
        path, (_, then) = run_dir / name, _MADE_ANEW[name]
        notices.append(f"{path} is damaged ({why}); it is kept as {_aside(path).name}, {then}")
        remade |= name == run_files.LATENCY
    if remade and (timing := probed_timing(run_dir)) is not None:
        timing.write_medians(run_dir)
    return notices


def _aside(path: Path) -> Path:
    kept = path.with_name(f"{path.name}.damaged")
    if kept.exists():
        kept = kept.with_name(f"{kept.name}-{secrets.token_hex(3)}")
    return path.rename(kept)
