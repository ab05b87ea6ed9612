"""The training command as what a forked process does."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def train(argv: list[str], folder: Path, log: Path) -> None:
    """``scripts/train.py ARGV`` in ``folder``, its output in ``log``."""
    import torch

    from flow_rag_vla.agents.policy import demonstration_set
    from flow_rag_vla.benchmark.training import cli

    class OneAxisPerLength:
        """Stands for MiniLM, which takes longer to load than all the rest."""

        def encode(self, text: str) -> torch.Tensor:
            return torch.eye(384)[len(text)]

    os.chdir(folder)
    with log.open("a", buffering=1) as output:
        sys.stdout = sys.stderr = output
        demonstration_set.shared_instruction_encoder = OneAxisPerLength
        sys.exit(cli.main(argv, Path("scripts")))
