"""Certify the scenarios of every task: hazardous, feasible, graded, and not solved by any constant habit.

./isaaclab.sh -p scripts/certify_scenarios.py --n 256 --docs
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse, certify, print; returns the exit code: 0 certified, 1 not, 2 bad usage."""
    from flow_rag_vla.benchmark.command.arguments import refuse_below_one

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="all", help="gym id or short name (default: all)")
    parser.add_argument("--n", type=int, default=256, help="episodes of a cell and expert")
    parser.add_argument("--dose_n", type=int, default=64, help="episodes of a severity")
    parser.add_argument("--grid_n", type=int, default=8, help="episodes of a cell and constant strategy")
    parser.add_argument("--num_envs", type=int, default=1024)
    parser.add_argument("--physics", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="folder of the certificates (default: the benchmark's own)")
    parser.add_argument("--docs", action="store_true", help="write tasks/faults/CERTIFICATE.md and its figure")
    parser.add_argument("--json", type=Path, help="write all certificates into one file")
    parser.add_argument("--log", type=Path, default=Path("outputs/certify_scenarios.log"))
    arguments = parser.parse_args(argv)
    refuse_below_one(parser, arguments, "n", "dose_n", "grid_n", "num_envs")

    from flow_rag_vla.benchmark.certification.certificate import CERTIFICATES, write_certificate
    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable, refuse_unwritable_folder

    out = arguments.out or CERTIFICATES
    refuse_unwritable(parser, json=arguments.json, log=arguments.log)
    refuse_unwritable_folder(parser, out=out)
    from flow_rag_vla.benchmark.certification.certificate_docs import table, verdict, write_docs
    from flow_rag_vla.benchmark.certification.certify import certify, plan_trials
    from flow_rag_vla.benchmark.command.progress import Progress
    from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
    from flow_rag_vla.tasks.contract import MAX_STEPS
    from flow_rag_vla.tasks.env.make import make_fleet, resolve_device, resolve_physics
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    try:
        tasks = all_tasks() if arguments.task == "all" else (get_task(arguments.task),)
        physics = resolve_physics(arguments.physics, resolve_device(arguments.device))
    except (KeyError, ValueError) as error:
        parser.error(str(error.args[0]))
    certificates = []
    with quiet_console(arguments.log) as console:
        for task in tasks:
            start = time.monotonic()
            env = make_fleet(
                task.name, arguments.num_envs, physics=physics, device=arguments.device, max_steps=MAX_STEPS
            )
            sizes = {name: getattr(arguments, name) for name in ("n", "dose_n", "grid_n")}
            trials = plan_trials(task.slug, **sizes)
            with Progress(len(trials), "episodes", console) as progress:
                certificate = certify(env, physics, trials, sizes, progress.update)
            env.close()
            write_certificate(certificate, out)
            certificates.append(certificate)
            console.write(f"{task.name}, {time.monotonic() - start:.0f} s\n{table(certificate)}\n")
            console.flush()
    if arguments.docs:
        write_docs(" ".join(["scripts/certify_scenarios.py", *argv]), out)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(certificates, indent=1) + "\n")
    complaints = [line for certificate in certificates for line in verdict(certificate)]
    print("\n".join(complaints) if complaints else "certified")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
