"""Which code made a file, and on what machine: the commit of the project's checkout, processors and driver."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any


def code_state() -> dict[str, Any]:
    """Commit and dirty flag of the project's checkout; None where it is no checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        return _said("git", "-C", str(here), *arguments)

    status = git("status", "--porcelain")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def hardware_state(device: str) -> dict[str, Any]:
    """What computes on ``device``: CPU model and the cores this process may use, on CUDA also GPU, memory and driver.

    None for what the system does not tell.
    """
    state: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": _cpu_model(Path("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
    }
    if device.startswith("cuda"):
        import torch  # late: who asks for code alone, or for the CPU, need not load it

        gpu = torch.cuda.get_device_properties(device)
        driver = _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        state |= {"gpu": gpu.name, "gpu_memory_bytes": gpu.total_memory, "cuda": torch.version.cuda}
        state["driver"] = driver.splitlines()[0] if driver else None
    return state


def _cpu_model(described: Path) -> str | None:
    """As Linux names it, which ``platform.processor`` does not."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", described.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or None


def _said(*command: str) -> str | None:
    """What ``command`` printed; None where it does not exist or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
