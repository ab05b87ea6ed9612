"""Which code made a file: the commit of the project's checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any


def code_state() -> dict[str, Any]:
    """Commit and dirty flag of the project's checkout; None where it is no checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            result = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return result.stdout.strip()

    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}
