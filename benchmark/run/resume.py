"""A benchmark run that was started before: what is missing of it is run, a finished one is left as it is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.console import say
from flow_rag_vla.benchmark.run.conclusion import (
    conclude,
    has_stills,
    is_concluded,
    render_stills,
    say_and_log,
    work_on_run,
)
from flow_rag_vla.benchmark.run.integrity.damaged_files import set_aside_damaged
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.integrity.unfinished_writes import remove_unfinished_writes
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.score import is_finished, require_run

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.run.conclusion import Reporter
    from flow_rag_vla.benchmark.run.run import Run
    from flow_rag_vla.benchmark.workers.launch import Launch


def resume_benchmark(path: str, reporter: Reporter, launch: Launch | None = None) -> bool:
    """Finish the run in ``path``; True when everything planned has run, and is scored and reported.

    Raises:
        IncompleteError: nothing can be written there.
        UsageError: there is no such run, another process is at work on it, or this code would plan it differently.
        ValueError: a file of it is damaged.
    """
    run_dir = Path(path)
    require_run(run_dir, "--resume")
    with run_lock(run_dir):
        remove_unfinished_writes(run_dir)
        damaged = set_aside_damaged(run_dir)
        for notice in damaged:
            say_and_log(run_dir, sys.stdout, notice)
        if is_finished(run_dir):
            if damaged or not is_concluded(run_dir):
                return conclude_again(run_dir, reporter)
            say(sys.stdout, f"nothing is left to run; the report is {run_dir / run_files.REPORT_HTML}")
            return True
        from flow_rag_vla.benchmark.run.carry_out import carry_out

        run = reopened(path)
        if launch is not None:
            launch.require_shardable(run.settings.latency, measured=(run_dir / run_files.LATENCY).is_file())
        return carry_out(run, reporter, launch)


def reopened(path: str, device: str | None = None) -> Run:
    """The run in ``path``, which is one, with its own settings; errors as in ``resume_benchmark``.

    ``device`` is another one than it was started on.
    """
    # Late: a finished run needs neither torch nor a simulator.
    from flow_rag_vla.benchmark.run.run import Run, load_networks
    from flow_rag_vla.benchmark.run.run_directory import RunDirectory
    from flow_rag_vla.benchmark.run.run_plan import plan_run, scenario_file_of
    from flow_rag_vla.tasks.facts.contact_parameters import contact_digest

    directory = RunDirectory(Path(path))
    directory.require_version()
    settings = directory.settings()
    here = settings if device is None else replace(settings, device=device)
    networks = load_networks(here)
    plan = plan_run(settings, scenario_file_of(settings))
    directory.require_same(settings, plan, networks.sha256 | {"contacts_sha256": contact_digest()})
    return Run(directory, here, plan, networks)


def conclude_again(run_dir: Path, reporter: Reporter) -> bool:
    """Take the stills of a run of which nothing is left to run, where it has none, and score and report it."""
    with work_on_run(run_dir) as work:
        if not has_stills(run_dir):
            render_stills(run_dir, work.console)
        conclude(run_dir, reporter, work.console)
    return work.complete
