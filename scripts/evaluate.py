"""Success of a policy on unseen clean layouts (development seeds by default).

./isaaclab.sh -p scripts/evaluate.py --task all --num_envs 1024 --seed 0 --json outputs/evaluate.json

The JSON of one task is an object, that of --task all a list of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, evaluate, print; returns the exit code."""
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="default")
    parser.add_argument("--task", default="FlowRAG-PickPlace-Franka", help="a task, or all")
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0, help="names a block of layouts")
    parser.add_argument("--split", default="development", choices=("development", "evaluation"))
    parser.add_argument("--arm", default="flow_only", choices=("flow_only", "expert", "nominal_expert"))
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
        "--runtime", default="torch", choices=("torch", "compile", "onnx", "int8"), help="what runs the policy"
    )
    parser.add_argument("--physics", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--log", type=Path, default=Path("outputs/evaluate.log"))
    arguments = parser.parse_args(argv)
    refuse_below_one(parser, arguments, "num_envs", "ode_steps", "execute")
    if arguments.runtime != "torch" and arguments.arm != "flow_only":
        parser.error(f"--runtime {arguments.runtime} runs the policy of flow_only, got --arm {arguments.arm}")
    if arguments.vision_async and arguments.obs != "rgb":
        parser.error(f"--vision_async looks at pictures, got --obs {arguments.obs}; expected --obs rgb")
    if arguments.split == "evaluation" and arguments.fault != "none":
        parser.error("evaluation layouts with faults are the benchmark's; use --split development")

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable

    refuse_unwritable(parser, json=arguments.json, log=arguments.log)
    from flow_rag_vla.benchmark.policies.evaluate import EvaluationRequest, evaluate
    from flow_rag_vla.tasks.catalogue.registry import task_names
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    tasks = task_names() if arguments.task == "all" else (arguments.task,)
    results = []
    try:
        with quiet_console(arguments.log) as console:
            for task in tasks:
                request = EvaluationRequest(
                    task=task,
                    checkpoint=arguments.checkpoint,
                    num_envs=arguments.num_envs,
                    seed=arguments.seed,
                    split=arguments.split,
                    arm=arguments.arm,
                    fault=arguments.fault,
                    ode_steps=arguments.ode_steps,
                    execute=arguments.execute,
                    physics=arguments.physics,
                    device=arguments.device,
                    wording=arguments.wording,
                    runtime=arguments.runtime,
                    obs=arguments.obs,
                    vision=arguments.vision,
                    vision_async=arguments.vision_async,
                )
                results.append(evaluate(request, console))
                console.write(json.dumps(results[-1], sort_keys=True) + "\n")
    except (ValueError, KeyError) as error:
        parser.error(str(error.args[0]))
    if arguments.json is not None:
        line = json.dumps(results if arguments.task == "all" else results[0], sort_keys=True)
        arguments.json.write_text(line + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
