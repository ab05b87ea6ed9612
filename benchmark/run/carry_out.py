"""Carries a run out: the units that wait, stills, scores, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.console import say
from flow_rag_vla.benchmark.command.stop_signals import ends_in_time
from flow_rag_vla.benchmark.run.conclusion import conclude, render_stills, withdraw_results, work_on_run
from flow_rag_vla.benchmark.run.waiting_units import run_waiting_units
from flow_rag_vla.benchmark.scoring.results import notices
from flow_rag_vla.benchmark.scoring.starts import StartClock

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.run.conclusion import Reporter
    from flow_rag_vla.benchmark.run.run import Run


def carry_out(run: Run, reporter: Reporter) -> bool:
    """Run what is left of the plan, then score and report; False where something broke on the way."""
    path = run.directory.path
    with work_on_run(path) as work:
        say(work.console, _headline(run))
        with StartClock(path) as clock, ends_in_time(clock.note_interrupted):
            withdraw_results(path)
            run_waiting_units(run, work.console, clock.note)
            render_stills(path, work.console)
        conclude(path, reporter, work.console)
    return work.complete


def _headline(run: Run) -> str:
    """What is run where, and its caveats: faults that nobody certified, results that hang on timing."""
    settings = run.settings
    episodes = sum(len(unit.episodes) for unit in run.plan.units)
    lines = [
        f"{settings.task} · {', '.join(settings.arms)} · {episodes} episodes in {settings.num_envs} environments "
        f"({settings.physics}, {settings.device})",
        f"run directory: {run.directory.path}",
    ]
    lines += notices(run.directory.manifest())
    return "\n".join(lines)
