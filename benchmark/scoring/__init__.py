"""From episode records to the summary of a run: ``score_run(run_dir)``; needs no simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.scoring.score import score_run

__all__ = ["score_run"]


def __getattr__(name: str) -> object:
    """``score_run`` when it is asked for: statistics take seconds to load, and most of this package needs none."""
    if name == "score_run":
        from flow_rag_vla.benchmark.scoring.score import score_run

        return score_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
