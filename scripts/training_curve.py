"""Draw the learning curve of an `isaaclab train` run: mean return, share of lifted objects, share of successes.

./isaaclab.sh -p scripts/training_curve.py logs/rsl_rl/flow_rag_lift/RUN --out outputs/rl_lift.svg
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("run", type=Path, help="folder with the run's TensorBoard log")
    parser.add_argument("--out", type=Path, default=Path("outputs/training_curve.svg"), help=".svg or .png")
    parser.add_argument("--title", default="", help="written above the curve; the run's folder by default")
    parser.add_argument("--json", type=Path)
    return parser


def _check(arguments: Namespace) -> None:
    if arguments.out.suffix not in (".svg", ".png"):
        raise UsageError(f"--out: expected a name that ends in .svg or .png, got {str(arguments.out)!r}")


def _draw(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.training.training_curve import draw_curve, read_curve

    try:
        curve = read_curve(arguments.run)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from None
    draw_curve(curve, arguments.title or arguments.run.name, arguments.out)
    for i in (0, -1):
        print(
            f"iteration {curve.iterations[i]:>5}  return {curve.mean_return[i]:7.2f}  "
            f"lifted {curve.lifted_share[i]:6.1%}  success {curve.success_share[i]:6.1%}"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(dataclasses.asdict(curve), indent=1) + "\n")
    print(arguments.out)
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, read, draw, print first and last; returns the exit code."""
    return run_command(_parser(), _draw, argv, check=_check, files=("out", "json"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
