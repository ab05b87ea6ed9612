"""What a killed process was writing when it ended: files under names of their own, which nobody reads."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from flow_rag_vla.benchmark.scoring import run_files

_UNFINISHED = re.compile(rf"\..+\.\d+\.tmp|\.\d+\.{re.escape(run_files.MEMORY)}(\.unfinished(-journal)?)?")
"""As ``atomic_files``, the barriers and the memory's snapshots name them before they are whole."""

_MERGED = Path(run_files.MERGED_EPISODES)
_PUT_ASIDE = re.compile(rf"\.{re.escape(_MERGED.name)}\.[a-z0-9_]{{8}}")
"""As ``EpisodeTable`` names the folder of what waits until the table is written; ``tempfile`` makes its end."""


def remove_unfinished_writes(run_dir: Path) -> None:
    """Remove them from a run directory at which nobody else is at work: the caller has its ``run_lock``.

    That makes it safe, as nothing in a name says whether its writer lives.  A run is merged by the process that has the
    lock, never by one of its children, and the kernel gives the lock to nobody else before that process has ended.
    """
    for path in run_dir.rglob(".*"):
        if path.is_file() and _UNFINISHED.fullmatch(path.name):
            with suppress(OSError):  # what cannot be removed is in nobody's way
                path.unlink()
    for path in (run_dir / _MERGED).parent.glob(".*"):
        if path.is_dir() and _PUT_ASIDE.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
