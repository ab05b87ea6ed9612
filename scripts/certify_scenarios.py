"""Certify the scenarios of every task: hazardous, feasible, graded, and not solved by any constant habit.

./isaaclab.sh -p scripts/certify_scenarios.py --n 256 --docs

A certificate holds for one physics preset.  Where another is too slow for everything, ``--dose_n 0 --grid_n 0`` leaves
out severities and constant strategies, and ``--time_step_n 0`` the study of time steps.

After a change to some faults, ``--fault NAME ...`` certifies these anew and keeps the rest of the certificate.

A certification that was cut goes on where it stopped: episodes that have ended lie in ``TASK.trials.jsonl`` beside the
certificate until that is written.

The exit code is 0 for certified, 1 where a complaint is printed.
"""

from __future__ import annotations

import json
import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import CommandParser, add_json_and_log, add_physics_and_device
from flow_rag_vla.benchmark.command.errors import ExitCode, usage_errors
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable_folder

if TYPE_CHECKING:
    from argparse import Namespace

    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--task", default="all", help="gym id or short name (default: all)")
    parser.add_argument("--fault", nargs="+", metavar="NAME", help="only these, into the certificate that there is")
    parser.add_argument("--n", type=int, default=256, help="episodes of a cell and expert")
    parser.add_argument("--dose_n", type=int, default=64, help="episodes of a severity")
    parser.add_argument("--grid_n", type=int, default=8, help="episodes of a cell and constant strategy")
    parser.add_argument("--time_step_n", type=int, default=64, help="episodes of a cell, expert and time step")
    parser.add_argument("--num_envs", type=int, default=1024)
    add_physics_and_device(parser)
    parser.add_argument("--out", type=Path, help="folder of the certificates (default: the benchmark's own)")
    parser.add_argument("--docs", action="store_true", help="write tasks/faults/CERTIFICATE.md and its figure")
    add_json_and_log(parser, "outputs/certify_scenarios.log")
    return parser


def _certify(arguments: Namespace) -> ExitCode:
    from flow_rag_vla.benchmark.certification.certificate import (
        CERTIFICATES,
        SIZES,
        STUDIED,
        certificate_path,
        write_certificate,
    )

    out = arguments.out or CERTIFICATES
    refuse_unwritable_folder(out=out)
    from flow_rag_vla.benchmark.certification.certificate_docs import table, verdict, write_docs
    from flow_rag_vla.benchmark.certification.certify import certify, conditions, plan_trials
    from flow_rag_vla.benchmark.certification.finished_trials import FinishedTrials
    from flow_rag_vla.benchmark.certification.renewal import certificate_to_renew, renewed
    from flow_rag_vla.benchmark.certification.time_steps import agreement, plan_study
    from flow_rag_vla.benchmark.command.progress import Progress
    from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
    from flow_rag_vla.tasks.contract import MAX_STEPS
    from flow_rag_vla.tasks.env.make import make_fleet, resolve_device, resolve_physics
    from flow_rag_vla.tasks.faults.registry import all_faults
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    sizes = {name: getattr(arguments, name) for name in SIZES}
    certificates = []
    with quiet_console(arguments.log) as console:
        with usage_errors():
            tasks = all_tasks() if arguments.task == "all" else (get_task(arguments.task),)
            physics = resolve_physics(arguments.physics, resolve_device(arguments.device))
            kept = {
                task.slug: certificate_to_renew(task.slug, physics, out, arguments.fault, sizes)
                for task in tasks
                if arguments.fault is not None
            }
        for task in tasks:
            start = time.monotonic()
            names = arguments.fault or [fault.name for fault in all_faults(task.slug)]

            def fleet(trials: int, num_substeps: int | None = None, task: str = task.name) -> ManipulationEnv:
                num_envs, device = min(arguments.num_envs, trials), arguments.device
                with usage_errors():
                    return make_fleet(
                        task,
                        num_envs,
                        physics=physics,
                        device=device,
                        max_steps=MAX_STEPS,
                        num_substeps=num_substeps,
                        # A study of time steps compares how episodes end, also where longer steps let pads sink in.
                        max_penetration_m=None if num_substeps is None else math.inf,
                    )

            path = certificate_path(task.slug, physics, out).with_suffix(".trials.jsonl")
            with usage_errors():
                finished = FinishedTrials(path, conditions())
            if len(finished):
                other = ", played by other code" if finished.by_other_code else ""
                console.write(f"{task.name}: going on after {len(finished)} episodes in {path}{other}\n")
            trials = plan_trials(task.slug, *(sizes[name] for name in ("n", "dose_n", "grid_n")))
            trials = [trial for trial in trials if trial.key[1] in names]
            with Progress(len(trials), "episodes", console) as progress:
                certificate = certify(task, physics, finished.run(trials, fleet, progress.update), sizes)
            if task.slug in kept:
                certificate = renewed(kept[task.slug], certificate, names)
                write_certificate(certificate, out)
            else:
                # What follows may be interrupted: until then there has been no study.
                write_certificate({**certificate, "time_step_n": 0}, out)
            study, ended = [trial for trial in plan_study(task.slug, sizes["time_step_n"]) if trial.key[1] in names], {}
            for num_substeps in STUDIED if study else ():
                name = f"episodes, {num_substeps} substeps"
                stepped = partial(fleet, num_substeps=num_substeps)
                with Progress(len(study), name, console) as progress:
                    ended[num_substeps] = finished.run(study, stepped, progress.update, num_substeps)
            for fault, alike in agreement(ended).items():
                certificate["faults"][fault]["time_steps"] = alike
            write_certificate(certificate, out)
            finished.forget()
            certificates.append(certificate)
            console.write(f"{task.name}, {time.monotonic() - start:.0f} s\n{table(certificate)}\n")
            console.flush()
    if arguments.docs:
        write_docs(out)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(certificates, indent=1) + "\n")
    complaints = [line for certificate in certificates for line in verdict(certificate)]
    print("\n".join(complaints) if complaints else "certified")
    return ExitCode.GATE_FAILED if complaints else ExitCode.DONE


def main(argv: list[str]) -> int:
    """Parse, certify, print; returns the exit code."""
    return run_command(_parser(), _certify, argv, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
