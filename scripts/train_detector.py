"""Train and calibrate the failure detector on recorded episodes.

./isaaclab.sh -p scripts/train_detector.py --failures failures --out outputs/detector.safetensors
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, train, save, print; returns the exit code."""
    from flow_rag_vla.agents.detection.training import DetectorTrainingCfg, num_iterations
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one
    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failures", type=Path, default=Path("failures"), help="folder with *_fit, *_calibrate and "
                        "*_choose.safetensors of scripts/collect_failures.py")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("outputs/detector.safetensors"))
    parser.add_argument("--alpha", type=float, default=0.05, help="nominal rate of false alarms, a successful episode")
    parser.add_argument("--threads", type=int, default=1, help="torch threads; part of what fixes the weights")
    defaults = DetectorTrainingCfg()
    for item in fields(DetectorTrainingCfg):
        default = getattr(defaults, item.name)
        parser.add_argument(f"--{item.name}", default=default, type=type(default))
    arguments = parser.parse_args(argv)
    if not 0.0 < arguments.alpha < 1.0:
        parser.error(f"--alpha is {arguments.alpha}, expected a number between 0 and 1")
    refuse_below_one(parser, arguments, "threads", "iterations", "novelty_iterations", "batch_size", "hidden_dim")
    refuse_unwritable(parser, out=arguments.out)

    import torch

    from flow_rag_vla.agents.detection.checkpoint import save_detector
    from flow_rag_vla.benchmark.command.progress import Progress
    from flow_rag_vla.benchmark.detectors.report import metrics_line
    from flow_rag_vla.benchmark.detectors.training import make_detector

    torch.set_num_threads(arguments.threads)
    cfg = DetectorTrainingCfg(**{item.name: getattr(arguments, item.name) for item in fields(DetectorTrainingCfg)})
    provenance = {"command": "scripts/train_detector.py " + " ".join(argv), "threads": arguments.threads}
    try:
        with Progress(num_iterations(cfg), "iterations") as progress:
            trained = make_detector(
                arguments.failures,
                cfg,
                arguments.alpha,
                provenance,
                lambda i, loss: progress.update(i, f"loss {loss:.4f}"),
            )
    except ValueError as error:
        parser.error(str(error))
    sha = save_detector(arguments.out, trained.checkpoint)
    print("development episodes:")
    print(metrics_line("learned", trained.learned))
    print(metrics_line("rules", trained.rules))
    print(f"{arguments.out} sha256 {sha}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
