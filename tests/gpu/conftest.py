"""Tests that need a GPU, marked ``gpu``; the same bodies run on the CPU where they are ``slow``.

``-m gpu`` runs the first, ``tests/gpu -m "slow and sim"`` the others.  Without a GPU the first skip themselves.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test here that asks for a ``device`` runs on both."""
    if "device" in metafunc.fixturenames:
        import torch

        gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none here")
        both = [
            pytest.param("cpu", marks=[pytest.mark.sim, pytest.mark.slow]),
            pytest.param("cuda:0", marks=[pytest.mark.sim, pytest.mark.gpu, gpu]),
        ]
        metafunc.parametrize("device", both, scope="module")


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., str]:
    """Runs a script of the project in a folder of its own and returns what it printed; it must end with exit code 0."""

    def run(*command: str) -> str:
        result = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="session")
def captured() -> Callable[[ManipulationEnv], ManipulationEnv]:
    """Takes a fleet's first steps, in which, on a GPU, physics is captured in a CUDA graph."""
    import torch
    from isaaclab_newton.physics.newton_manager import NewtonManager

    def after_first_steps(env: ManipulationEnv) -> ManipulationEnv:
        for _ in range(3):
            env.step(torch.zeros(env.num_envs, 7, device=env.device))
        assert (NewtonManager._graph is not None) == (torch.device(env.device).type == "cuda")
        return env

    return after_first_steps
