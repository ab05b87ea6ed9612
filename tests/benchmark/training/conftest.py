"""Made-up demonstrations in the files that ``scripts/collect_demos.py`` writes, and training commands."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from safetensors.torch import save_file

from flow_rag_vla.tasks.contract import ACTION_DIM, OBSERVATION_WIDTHS
from flow_rag_vla.tasks.facts.contact_parameters import world_digest

HERE = str(Path(__file__).parent)
# One process imports everything, once; every command is forked from it.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["training_imports"])

STEPS = 12
"""Of every made-up episode."""


def write_demonstrations(
    folder: Path, task: str, episodes: int = 8, layout_seed: int = 0, contacts: str | None = None
) -> Path:
    """A folder as ``scripts/collect_demos.py`` leaves it."""
    rng = torch.Generator().manual_seed(len(task))
    num_steps = episodes * STEPS
    rows = {
        f"observation.{name}": torch.rand(num_steps, width, generator=rng) for name, width in OBSERVATION_WIDTHS.items()
    }
    rows["action"] = torch.randn(num_steps, ACTION_DIM, generator=rng) * 0.01
    rows["disturbed"] = torch.zeros(num_steps, dtype=torch.bool)
    rows["episode"] = torch.arange(num_steps) // STEPS
    rows["layout_seed"] = layout_seed + rows["episode"]
    rows["instruction"] = torch.zeros(num_steps, dtype=torch.long)
    folder.mkdir(parents=True)
    metadata = {"task": task, "instructions": json.dumps([f"do {task}"]), "contacts": contacts or world_digest()}
    save_file(rows, folder / "wave-000.safetensors", metadata=metadata)
    return folder


class Runs:
    """Training commands in a folder where two tasks have demonstrations."""

    def __init__(self, folder: Path) -> None:
        """Record made-up demonstrations in ``folder``."""
        self.folder, self.log = folder, folder / "log.txt"
        for slug, task in (("pick_place", "FlowRAG-PickPlace-Franka"), ("lift", "FlowRAG-Lift-Franka")):
            write_demonstrations(folder / "demonstrations" / slug, task)

    def start(self, *argv: str) -> BaseProcess:
        """Start ``scripts/train.py ARGV``."""
        if HERE not in sys.path:
            sys.path.append(HERE)  # forked processes find the function by its module's name
        train = importlib.import_module("training_process").train
        process = FORKS.Process(target=train, args=(list(argv), self.folder, self.log))
        with patch.dict(os.environ, PYTHONPATH=os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")])):
            process.start()
        return process

    def run(self, *argv: str) -> tuple[int | None, str]:
        """Exit code and output of ``scripts/train.py ARGV``."""
        self.log.unlink(missing_ok=True)
        process = self.start(*argv)
        process.join(60)
        return process.exitcode, self.log.read_text()

    def states(self, name: str) -> list[Path]:
        """State files of the run ``name``, oldest first."""
        return sorted((self.folder / "outputs" / "train" / name / "states").glob("state-*.safetensors"))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Training commands in ``tmp_path``."""
    return Runs(tmp_path)


@pytest.fixture
def write() -> Callable[..., Path]:
    """``write_demonstrations``."""
    return write_demonstrations
