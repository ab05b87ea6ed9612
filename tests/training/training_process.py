"""The training command in a process of its own, forked from one that has imported everything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib.figure  # noqa: F401 (this and the next two: imported late by what is tested)
import torch
import torch._dynamo
import torch.utils.tensorboard

from flow_rag_vla.agents import demonstration_set
from flow_rag_vla.benchmark.training import cli, run  # noqa: F401


class OneAxisPerLength:
    """Stands for MiniLM, which takes longer to load than all the rest."""

    def encode(self, text: str) -> torch.Tensor:
        return torch.eye(384)[len(text)]


def train(argv: list[str], folder: Path, log: Path) -> None:
    """``scripts/train.py ARGV`` in ``folder``, its output in ``log``."""
    os.chdir(folder)
    with log.open("a", buffering=1) as output:
        sys.stdout = sys.stderr = output
        demonstration_set.shared_instruction_encoder = OneAxisPerLength
        sys.exit(cli.main(argv, Path("scripts")))
