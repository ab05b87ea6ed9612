"""Audit the truth labels against episodes whose right label is known from how they were made.

./isaaclab.sh -p scripts/audit_labels.py --docs

Prints the confusion matrix and every disagreement; the exit code is 1 where less than 98 % of the labels agree.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

REQUIRED_AGREEMENT = 0.98


def main(argv: list[str]) -> int:
    """Parse, run, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="3", help="comma list of blocks of development layouts (default 3)")
    parser.add_argument("--physics", default="auto", help="physics preset (default: the one for the device)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--docs", action="store_true", help="write the matrix into tasks/env/LABELS.md")
    parser.add_argument("--json", type=Path, help="write every episode and the shares here")
    parser.add_argument("--log", type=Path, default=Path("outputs/audit_labels.log"))
    arguments = parser.parse_args(argv)
    try:
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds: expected whole numbers such as 3,4,5, got {arguments.seeds!r}")

    from flow_rag_vla.benchmark.command.output_path import refuse_unwritable

    refuse_unwritable(parser, json=arguments.json, log=arguments.log)
    import flow_rag_vla.tasks.env
    from flow_rag_vla.benchmark.certification.confusion_table import (
        confusion_markdown,
        disagreements,
        summary_line,
        write_into_docs,
    )
    from flow_rag_vla.benchmark.certification.constructed_episodes import FAMILIES
    from flow_rag_vla.benchmark.certification.label_audit import pooled, run_audit
    from flow_rag_vla.tasks.physics.quiet import quiet_console

    try:
        with quiet_console(arguments.log) as console:
            audit = pooled(
                run_audit(
                    FAMILIES,
                    seed,
                    arguments.physics,
                    arguments.device,
                    lambda task, n, seed=seed: print(f"seed {seed}, {task}: {n} episodes", file=console, flush=True),
                )
                for seed in seeds
            )
    except ValueError as error:
        parser.error(str(error))
    table = f"{confusion_markdown(audit)}\n\n{summary_line(audit)}"
    print("\n".join([table, *disagreements(audit)]))
    if arguments.docs:
        write_into_docs(Path(flow_rag_vla.tasks.env.__path__[0]) / "LABELS.md", table)
    if arguments.json is not None:
        shares = {name: getattr(audit, name) for name in ("agreement", "phase_agreement", "success_agreement")}
        rows = [dataclasses.asdict(episode) for episode in audit.episodes]
        arguments.json.write_text(json.dumps({**shares, "counts": audit.counts(), "episodes": rows}, indent=1) + "\n")
    return 0 if (audit.agreement or 0.0) >= REQUIRED_AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
