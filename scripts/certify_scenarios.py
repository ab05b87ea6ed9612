"""Certify the scenarios of every task: hazardous, feasible, graded, and not solved by any constant habit.

./isaaclab.sh -p scripts/certify_scenarios.py --n 256 --docs

The exit code is 0 for certified, 1 where a complaint is printed.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, add_physics_and_device
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder

if TYPE_CHECKING:
    from argparse import Namespace

SIZES = ("n", "dose_n", "grid_n")


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default="all", help="gym id or short name (default: all)")
    parser.add_argument("--n", type=int, default=256, help="episodes of a cell and expert")
    parser.add_argument("--dose_n", type=int, default=64, help="episodes of a severity")
    parser.add_argument("--grid_n", type=int, default=8, help="episodes of a cell and constant strategy")
    parser.add_argument("--num_envs", type=int, default=1024)
    add_physics_and_device(parser)
    parser.add_argument("--out", type=Path, help="folder of the certificates (default: the benchmark's own)")
    parser.add_argument("--docs", action="store_true", help="write tasks/faults/CERTIFICATE.md and its figure")
    add_json_and_log(parser, "outputs/certify_scenarios.log")
    return parser


def _certify(arguments: Namespace, command: str) -> ExitCode:
    from flow_rag_vla.benchmark.certification.certificate import CERTIFICATES, write_certificate

    out = arguments.out or CERTIFICATES
    refuse_unwritable_folder(out=out)
    from flow_rag_vla.benchmark.certification.certificate_docs import table, verdict, write_docs
    from flow_rag_vla.benchmark.certification.certify import certify, plan_trials
    from flow_rag_vla.benchmark.command.progress import Progress
    from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
    from flow_rag_vla.tasks.contract import MAX_STEPS
    from flow_rag_vla.tasks.env.make import make_fleet, resolve_device, resolve_physics
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    with usage_errors():
        tasks = all_tasks() if arguments.task == "all" else (get_task(arguments.task),)
        physics = resolve_physics(arguments.physics, resolve_device(arguments.device))
    sizes = {name: getattr(arguments, name) for name in SIZES}
    certificates = []
    with quiet_console(arguments.log) as console:
        for task in tasks:
            start = time.monotonic()
            with usage_errors():
                fleet = make_fleet(
                    task.name, arguments.num_envs, physics=physics, device=arguments.device, max_steps=MAX_STEPS
                )
            trials = plan_trials(task.slug, **sizes)
            with closing(fleet) as env, Progress(len(trials), "episodes", console) as progress:
                certificate = certify(env, physics, trials, sizes, progress.update)
            write_certificate(certificate, out)
            certificates.append(certificate)
            console.write(f"{task.name}, {time.monotonic() - start:.0f} s\n{table(certificate)}\n")
            console.flush()
    if arguments.docs:
        write_docs(command, out)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(certificates, indent=1) + "\n")
    complaints = [line for certificate in certificates for line in verdict(certificate)]
    print("\n".join(complaints) if complaints else "certified")
    return ExitCode.GATE_FAILED if complaints else ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, certify, print; returns the exit code."""
    body = partial(_certify, command=" ".join(["scripts/certify_scenarios.py", *argv]))
    return run_command(_parser(), body, argv, at_least_one=(*SIZES, "num_envs"), files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
