"""Success of a policy on unseen clean layouts (development seeds by default).

./isaaclab.sh -p scripts/evaluate.py --task all --num_envs 1024 --seed 0 --json outputs/evaluate.json

The JSON of one task is an object, that of --task all a list of them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.catalogue import EXPERT, FLOW_ONLY, NOMINAL_EXPERT
from flow_rag_vla.benchmark.command.arguments import (
    CommandParser,
    add_json_and_log,
    add_physics_and_device,
    fields_of,
)
from flow_rag_vla.benchmark.command.errors import ExitCode, UsageError
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.tasks.catalogue.pick_place import TASK as DEFAULT_TASK

if TYPE_CHECKING:
    from argparse import Namespace


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--task", default=DEFAULT_TASK.name, help="a task, or all")
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0, help="names a block of layouts")
    parser.add_argument("--split", default="development", choices=("development", "evaluation"))
    parser.add_argument(
        "--arm", default=FLOW_ONLY.name, choices=[arm.name for arm in (FLOW_ONLY, EXPERT, NOMINAL_EXPERT)]
    )
    parser.add_argument("--fault", default="none", help="a fault of tasks/README.md, at its default severity")
    parser.add_argument("--obs", default="state", choices=("state", "rgb"), help="what objects are perceived from")
    parser.add_argument("--vision", default="default", help="vision checkpoint for --obs rgb: the CNN's or DINOv2's")
    parser.add_argument(
        "--vision_async",
        action="store_true",
        help="look at pictures in a worker thread, so that no decision waits for them; results then depend on timing "
        "and are not reproducible bit for bit",
    )
    parser.add_argument(
        "--wording",
        default="own",
        choices=("own", "held_out", "other_task"),
        help="held_out: texts that no demonstration used",
    )
    parser.add_argument("--ode_steps", type=int, help="solver steps (default: the checkpoint's)")
    parser.add_argument("--execute", type=int, help="actions of a chunk that run (default: 8, or the horizon if less)")
    parser.add_argument(
        "--runtime",
        default="torch",
        choices=("torch", "compile", "onnx", "int8", "tensorrt"),
        help="what runs the policy",
    )
    add_physics_and_device(parser)
    add_json_and_log(parser, "outputs/evaluate.log")
    return parser


def _check(arguments: Namespace) -> None:
    if arguments.runtime != "torch" and arguments.arm != FLOW_ONLY.name:
        raise UsageError(
            f"--runtime {arguments.runtime} runs the policy of {FLOW_ONLY.name}, got --arm {arguments.arm}"
        )
    if arguments.vision_async and arguments.obs != "rgb":
        raise UsageError(f"--vision_async looks at pictures, got --obs {arguments.obs}; expected --obs rgb")
    if arguments.split == "evaluation" and arguments.fault != "none":
        raise UsageError("evaluation layouts with faults are the benchmark's; use --split development")


def _evaluate(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run
    from flow_rag_vla.benchmark.policies.evaluate import EvaluationRequest, evaluate
    from flow_rag_vla.tasks.catalogue.registry import task_names

    tasks = task_names() if arguments.task == "all" else (arguments.task,)
    request = fields_of(EvaluationRequest, arguments)
    results = []
    with quiet_run(arguments.log) as console:
        for task in tasks:
            results.append(evaluate(replace(request, task=task), console))
            console.write(json.dumps(results[-1], sort_keys=True) + "\n")
    if arguments.json is not None:
        line = json.dumps(results if arguments.task == "all" else results[0], sort_keys=True)
        arguments.json.write_text(line + "\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, evaluate, print; returns the exit code."""
    return run_command(_parser(), _evaluate, argv, check=_check, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
