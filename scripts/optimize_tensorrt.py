"""The flow policy as an ONNX file and, where TensorRT is installed, as an engine; compared with torch and timed.

./isaaclab.sh -p scripts/optimize_tensorrt.py --json outputs/optimize.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, convert, print; returns the exit code."""
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--out", type=Path, default=Path("outputs/deployment"), help="folder for the files")
    parser.add_argument("--ode_steps", type=int, help="solver steps (default: the checkpoint's)")
    parser.add_argument("--fp16", default=True, action=argparse.BooleanOptionalAction, help="half precision as well")
    parser.add_argument("--max_batch", type=int, default=1024, help="most rows of a call of the engine")
    parser.add_argument("--runtimes", default="torch,compile,onnx,int8", help="comma list of what is timed")
    parser.add_argument("--fleet", type=int, default=1024, help="rows of the large batch")
    parser.add_argument("--threads", type=int, default=2, help="of the large batch; single rows have one")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(argv)

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable

    refuse_unwritable(parser, json=arguments.json)
    import torch

    from flow_rag_vla.agents.deployment.runtimes import RUNTIMES
    from flow_rag_vla.benchmark.policies.deploy import DeploymentRequest, optimize

    runtimes = arguments.runtimes.split(",")
    for name in runtimes:
        if name not in RUNTIMES:
            parser.error(f"unknown runtime {name!r}; available: {', '.join(RUNTIMES)}")
    refuse_below_one(parser, arguments, "threads")
    torch.set_num_threads(arguments.threads)
    request = DeploymentRequest(arguments.checkpoint, arguments.out, arguments.ode_steps, arguments.fleet)
    try:
        result = optimize(request, runtimes, fp16=arguments.fp16, max_batch=arguments.max_batch, console=sys.stdout)
    except ValueError as error:
        parser.error(str(error))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
