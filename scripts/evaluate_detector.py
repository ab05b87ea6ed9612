"""Measure the failure detector and its baselines: in-suite, on held-out tasks and on held-out faults.

./isaaclab.sh -p scripts/evaluate_detector.py --failures failures --json outputs/detector.json
"""

from __future__ import annotations

import sys
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.ranges import ANY_SEED

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--failures", type=Path, default=Path("failures"), help="what collect_failures.py recorded")
    parser.add_argument("--checkpoint", default="default", help="of scripts/train_detector.py")
    parser.add_argument("--role", default="test", choices=("test", "choose"), help="which recorded episodes")
    parser.add_argument("--held_out", default=True, action=BooleanOptionalAction,
                        help="also fit without each task and without groups of faults")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figures", type=Path, help="folder for ROC curves and delays as SVG")
    return parser


def _measure(arguments: Namespace) -> ExitCode:
    import torch

    from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR, load_detector
    from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
    from flow_rag_vla.benchmark.detectors.report import detector_report
    from flow_rag_vla.benchmark.detectors.tables import draw_figures, report_tables

    torch.set_num_threads(arguments.threads)
    path = DEFAULT_DETECTOR if arguments.checkpoint == "default" else Path(arguments.checkpoint)
    with usage_errors():
        report = detector_report(
            arguments.failures,
            load_detector(path),
            arguments.role,
            arguments.held_out,
            arguments.seed,
            lambda note: print(note, file=sys.stderr, flush=True),
        )
    if arguments.json is not None:
        write_json_atomic(arguments.json, report.values)
    if arguments.figures is not None:
        draw_figures(report, arguments.figures)
    print(report_tables(report.values), end="")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, measure, print; returns the exit code."""
    return run_command(_parser(), _measure, argv, ranges={"seed": ANY_SEED}, files=("json",), folders=("figures",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
