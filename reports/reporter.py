"""The project's reports, as commands that finish a run ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class RunReporter:
    """Imports what it needs when a run has finished: tables and templates take a moment to load."""

    def build(self, run_dir: Path) -> Path:
        """Write the HTML and Markdown reports; returns the HTML page's path."""
        from flow_rag_vla.reports.build import build_report

        return build_report(run_dir)

    def table(self, run_dir: Path) -> str:
        """The ablation table for a terminal."""
        from flow_rag_vla.benchmark.scoring.results import read_run
        from flow_rag_vla.reports.tables import ablation

        return ablation(read_run(run_dir)).frame().T.to_string()
