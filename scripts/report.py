"""Rebuild summary, timing and report of a benchmark's run directory, also of one that an earlier version made.

./isaaclab.sh -p scripts/report.py runs/20260101T000000Z_all_0123abcd
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXIT_INCOMPLETE = 3


def main(argv: list[str]) -> int:
    """Parse, score, report, print the table and the report's path; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="DIR", help="what scripts/benchmark.py left behind")
    arguments = parser.parse_args(argv)

    from flow_rag_vla.benchmark.command.errors import UsageError
    from flow_rag_vla.benchmark.run.conclusion import conclude
    from flow_rag_vla.benchmark.scoring.score import IncompleteRunError
    from flow_rag_vla.reports.reporter import RunReporter

    try:
        conclude(arguments.run, RunReporter(), sys.stdout)
    except IncompleteRunError as error:
        print(f"report.py: error: {error}", file=sys.stderr)
        return EXIT_INCOMPLETE
    except (UsageError, ValueError, OSError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
