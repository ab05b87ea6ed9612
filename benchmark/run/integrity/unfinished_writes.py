"""What a killed process was writing when it ended: files under names of their own, which nobody reads."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from flow_rag_vla.benchmark.scoring import run_files

_UNFINISHED = re.compile(rf"\..+\.\d+\.tmp|\.\d+\.{re.escape(run_files.MEMORY)}(\.unfinished(-journal)?)?")
"""As ``atomic_files``, the barriers and the memory's snapshots name them before they are whole."""


def remove_unfinished_writes(run_dir: Path) -> None:
    """Remove them from a run directory at which nobody else is at work."""
    for path in run_dir.rglob(".*"):
        if path.is_file() and _UNFINISHED.fullmatch(path.name):
            with suppress(OSError):  # what cannot be removed is in nobody's way
                path.unlink()
