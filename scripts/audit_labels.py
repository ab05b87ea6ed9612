"""Audit the truth labels against episodes whose right label is known from how they were made.

./isaaclab.sh -p scripts/audit_labels.py --docs

Prints the confusion matrix and every disagreement; the exit code is 1 where less than 98 % of the labels agree.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.arguments import (
    CommandParser,
    add_json_and_log,
    add_physics_and_device,
    whole_numbers,
)
from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.command.main import run_command

if TYPE_CHECKING:
    from argparse import Namespace

REQUIRED_AGREEMENT = 0.98


def _parser() -> CommandParser:
    parser = CommandParser(__doc__)
    parser.add_argument("--seeds", default="3", help="comma list of blocks of development layouts (default 3)")
    add_physics_and_device(parser)
    parser.add_argument("--docs", action="store_true", help="write the matrix into tasks/env/LABELS.md")
    add_json_and_log(parser, "outputs/audit_labels.log")
    return parser


def _check(arguments: Namespace) -> None:
    arguments.seeds = whole_numbers("--seeds", arguments.seeds)


def _audit(arguments: Namespace) -> ExitCode:
    import flow_rag_vla.tasks.env
    from flow_rag_vla.benchmark.certification.confusion_table import (
        confusion_markdown,
        disagreements,
        summary_line,
        write_into_docs,
    )
    from flow_rag_vla.benchmark.certification.constructed_episodes import FAMILIES
    from flow_rag_vla.benchmark.certification.label_audit import pooled, run_audit
    from flow_rag_vla.benchmark.command.quiet_run import quiet_run

    with quiet_run(arguments.log) as console:
        audit = pooled(
            run_audit(
                FAMILIES,
                seed,
                arguments.physics,
                arguments.device,
                lambda task, n, seed=seed: print(f"seed {seed}, {task}: {n} episodes", file=console, flush=True),
            )
            for seed in arguments.seeds
        )
    table = f"{confusion_markdown(audit)}\n\n{summary_line(audit)}"
    print("\n".join([table, *disagreements(audit)]))
    if arguments.docs:
        write_into_docs(Path(flow_rag_vla.tasks.env.__path__[0]) / "LABELS.md", table)
    if arguments.json is not None:
        shares = {name: getattr(audit, name) for name in ("agreement", "phase_agreement", "success_agreement")}
        rows = [dataclasses.asdict(episode) for episode in audit.episodes]
        arguments.json.write_text(json.dumps({**shares, "counts": audit.counts(), "episodes": rows}, indent=1) + "\n")
    return ExitCode.DONE if (audit.agreement or 0.0) >= REQUIRED_AGREEMENT else ExitCode.GATE_FAILED


def main(argv: list[str]) -> int:
    """Parse, audit, print; returns the exit code."""
    return run_command(_parser(), _audit, argv, check=_check, files=("json", "log"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
