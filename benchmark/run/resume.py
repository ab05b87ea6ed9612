"""A benchmark run that was started before: what is missing of it is run, a finished one is left as it is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.console import say
from flow_rag_vla.benchmark.command.errors import ExitCode, IncompleteError, resume_flag
from flow_rag_vla.benchmark.run.conclusion import (
    conclude,
    has_stills,
    is_concluded,
    keep_gaps,
    render_stills,
    say_and_log,
    work_on_run,
)
from flow_rag_vla.benchmark.run.integrity.damaged_files import set_aside_damaged
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.integrity.unfinished_writes import remove_unfinished_writes
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.score import is_finished, probed_timing, require_run
from flow_rag_vla.benchmark.workers.launch import Launch

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.run.conclusion import Reporter
    from flow_rag_vla.benchmark.run.integrity.merge_shards import MergedShards
    from flow_rag_vla.benchmark.run.run import Run


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
                return _conclude_again(run_dir, reporter)
            say(sys.stdout, f"nothing is left to run; the report is {run_dir / run_files.REPORT_HTML}")
            return True
        from flow_rag_vla.benchmark.run.carry_out import carry_out
        from flow_rag_vla.benchmark.workers.crew import hired

        launch = launch or Launch()
        run = reopened(path)
        known = (run_dir / run_files.LATENCY).is_file() or probed_timing(run_dir) is not None
        launch.require_shardable(run.settings.latency, measured=known)
        with hired(launch, run.settings.device, run.settings.threads, run.networks.cargo()) as crew:
            return carry_out(run, reporter, crew, launch.shard)


def reopened(path: str, device: str | None = None, weights: Path | None = None) -> Run:
    """The run in ``path``, which is one, with its own settings; errors as in ``resume_benchmark``.

    ``device`` is another one than it was started on; ``weights`` holds its networks where they do not lie as named.
    """
    # Late: a finished run needs neither torch nor a simulator.
    from flow_rag_vla.benchmark.run.run import Run, load_networks
    from flow_rag_vla.benchmark.run.run_directory import RunDirectory
    from flow_rag_vla.benchmark.run.run_plan import plan_run, scenario_file_of
    from flow_rag_vla.tasks.facts.contact_parameters import world_digest

    directory = RunDirectory(Path(path))
    directory.require_version()
    settings = directory.settings()
    here = settings if device is None else replace(settings, device=device)
    networks = load_networks(here, weights)
    plan = plan_run(settings, scenario_file_of(settings))
    directory.require_same(settings, plan, networks.sha256 | {"contacts_sha256": world_digest()})
    return Run(directory, here, plan, networks)


def conclude_merged(run_dir: Path, reporter: Reporter, merged: MergedShards) -> ExitCode:
    """Score and report the run in ``run_dir``, ``merged`` from shards, where nothing is left that they could run.

    Units that a shard has given up, and those that wait for them, are gaps, of which the code is ``INCOMPLETE``;
    errors as in ``resume_benchmark``.
    """
    gaps: set[str] = set()
    with run_lock(run_dir):
        remove_unfinished_writes(run_dir)
        if merged.missing and merged.given_up:
            waiting = reopened(str(run_dir)).barriers().held_up_by(merged.given_up) & set(merged.missing)
            gaps = waiting | merged.given_up.keys()
        if left := [unit for unit in merged.missing if unit not in gaps]:
            say(
                sys.stdout,
                f"{run_dir}: {len(left)} units are left (the first is {left[0]}); go on with scripts/benchmark.py "
                f"{resume_flag(run_dir)}, or with --shard i/N in copies of it",
            )
            return ExitCode.DONE
        if gaps:
            keep_gaps(run_dir, merged.given_up, sorted(gaps - merged.given_up.keys()))
        elif is_concluded(run_dir):
            say(sys.stdout, f"nothing is left to do; the report is {run_dir / run_files.REPORT_HTML}")
            return ExitCode.DONE
        with work_on_run(run_dir) as work:
            barriers, missing = reopened(str(run_dir)).barriers(), set(merged.missing)
            barriers.merge_done(lambda unit: unit.id not in missing)
            if not has_stills(run_dir):
                render_stills(run_dir, work.console)
            conclude(run_dir, reporter, work.console)
    if gaps:
        given_up = ", ".join(merged.given_up)
        raise IncompleteError(f"{run_dir}: {len(gaps)} units are gaps, given up: {given_up}; {resume_flag(run_dir)}")
    return ExitCode.DONE if work.complete else ExitCode.INCOMPLETE


def _conclude_again(run_dir: Path, reporter: Reporter) -> bool:
    with work_on_run(run_dir) as work:
        if not has_stills(run_dir):
            render_stills(run_dir, work.console)
        conclude(run_dir, reporter, work.console)
    return work.complete
