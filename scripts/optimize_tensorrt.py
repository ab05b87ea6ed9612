"""The flow policy as an ONNX file and, where TensorRT and a GPU are, as an engine; compared with torch and timed.

./isaaclab.sh -p scripts/optimize_tensorrt.py --json outputs/optimize.json
"""

from __future__ import annotations

import json
import sys
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, comma_list
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError, usage_errors
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--out", type=Path, default=Path("outputs/deployment"), help="folder for the files")
    parser.add_argument("--ode_steps", type=int, help="solver steps (default: the checkpoint's)")
    parser.add_argument("--fp16", default=True, action=BooleanOptionalAction, help="half precision as well")
    parser.add_argument("--max_batch", type=int, default=1024, help="most rows of a call of the engine")
    parser.add_argument("--runtimes", type=comma_list, help="comma list of what is timed (default: all that run here)")
    parser.add_argument("--devices", type=comma_list, help="where (default: cpu, and cuda:0 if there is one)")
    parser.add_argument("--fleet", type=int, default=1024, help="rows of the large batch")
    parser.add_argument("--threads", type=int, default=2, help="of the large batch; single rows have one")
    parser.add_argument("--json", type=Path)
    return parser


def _optimize(arguments: Namespace) -> ExitCode:
    import torch

    from flow_rag_vla.agents.deployment.runtimes import RUNTIMES, runtimes_here
    from flow_rag_vla.benchmark.policies.deploy import DeploymentRequest, optimize
    from flow_rag_vla.benchmark.policies.timing import timed_devices

    runtimes = arguments.runtimes or runtimes_here()
    for name in runtimes:
        if name not in RUNTIMES:
            raise UsageError(f"unknown runtime {name!r}; available: {', '.join(RUNTIMES)}")
    torch.set_num_threads(arguments.threads)
    devices = arguments.devices or timed_devices()
    request = DeploymentRequest(arguments.checkpoint, arguments.out, arguments.ode_steps, arguments.fleet, devices)
    with usage_errors():
        result = optimize(request, runtimes, fp16=arguments.fp16, max_batch=arguments.max_batch, console=sys.stdout)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, convert, print; returns the exit code."""
    return run_command(_parser(), _optimize, argv, files=("json",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
