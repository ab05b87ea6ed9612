"""Train and calibrate the failure detector on recorded episodes.

./isaaclab.sh -p scripts/train_detector.py --failures failures --out outputs/detector.safetensors
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.training.cfg import DetectorTrainingCfg
from flow_rag_vla.benchmark.command.arguments import CommandParser, add_fields, fields_of
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.ranges import ANY_SEED

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--failures", type=Path, default=Path("failures"), help="folder with *_fit, *_calibrate and "
                        "*_choose.safetensors of scripts/collect_failures.py")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("outputs/detector.safetensors"))
    parser.add_argument("--alpha", type=float, default=0.05, help="nominal rate of false alarms, a successful episode")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; part of what fixes the weights")
    add_fields(parser, DetectorTrainingCfg())
    return parser


def _train(arguments: Namespace, command: str) -> ExitCode:
    import torch

    from flow_rag_vla.agents.detection.checkpoint import save_detector
    from flow_rag_vla.agents.detection.training import num_iterations
    from flow_rag_vla.benchmark.command.progress import Progress
    from flow_rag_vla.benchmark.detectors.report import metrics_line
    from flow_rag_vla.benchmark.detectors.training import make_detector

    torch.set_num_threads(arguments.threads)
    cfg = fields_of(DetectorTrainingCfg, arguments)
    provenance = {"command": command, "threads": arguments.threads}
    with usage_errors(), Progress(num_iterations(cfg), "iterations") as progress:
        trained = make_detector(
            arguments.failures,
            cfg,
            arguments.alpha,
            provenance,
            lambda i, loss: progress.update(i, f"loss {loss:.4f}"),
        )
    sha = save_detector(arguments.out, trained.checkpoint)
    print("development episodes:")
    print(metrics_line("learned", trained.learned))
    print(metrics_line("rules", trained.rules))
    print(f"{arguments.out} sha256 {sha}")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, train, save, print; returns the exit code."""
    body = partial(_train, command="scripts/train_detector.py " + " ".join(argv))
    return run_command(_parser(), body, argv, ranges={"seed": ANY_SEED}, files=("out",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
