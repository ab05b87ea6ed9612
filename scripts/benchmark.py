"""Measure whether a failure memory keeps a policy from failing the same way again.

./isaaclab.sh -p scripts/benchmark.py --ablation parallel
./isaaclab.sh -p scripts/benchmark.py --ablation all --seed 1 physics=newton_mjwarp
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.run.cli import main

if TYPE_CHECKING:
    from pathlib import Path


class RunReporter:
    """The project's reports; imported when a run has finished."""

    def build(self, run_dir: Path) -> Path:
        """Write the HTML and Markdown reports; returns the HTML page's path."""
        from flow_rag_vla.reports.build import build_report

        return build_report(run_dir)

    def table(self, run_dir: Path) -> str:
        """The ablation table for a terminal."""
        from flow_rag_vla.benchmark.scoring.results import read_run
        from flow_rag_vla.reports.tables import ablation

        return ablation(read_run(run_dir)).frame().T.to_string()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], RunReporter()))
