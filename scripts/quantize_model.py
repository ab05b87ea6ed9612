"""Encoder and flow with int8 linear layers, as an ONNX file; compared with torch and timed.

./isaaclab.sh -p scripts/quantize_model.py --json outputs/quantize.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--out", type=Path, default=Path("outputs/deployment"), help="folder for the files")
    parser.add_argument("--ode_steps", type=int, help="solver steps (default: the checkpoint's)")
    parser.add_argument("--fleet", type=int, default=1024, help="rows of the large batch")
    parser.add_argument("--threads", type=int, default=2, help="of the large batch; single rows have one")
    parser.add_argument("--json", type=Path)
    return parser


def _quantize(arguments: Namespace) -> ExitCode:
    import torch

    from flow_rag_vla.benchmark.policies.deploy import DeploymentRequest, quantize

    torch.set_num_threads(arguments.threads)
    request = DeploymentRequest(arguments.checkpoint, arguments.out, arguments.ode_steps, arguments.fleet)
    with usage_errors():
        result = quantize(request, sys.stdout)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, quantise, print; returns the exit code."""
    return run_command(_parser(), _quantize, argv, files=("json",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
