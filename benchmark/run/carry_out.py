"""Carries a run out: the units that wait, stills, scores, report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.console import say, say_start
from flow_rag_vla.benchmark.command.errors import IncompleteError
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.command.stop_signals import ends_in_time
from flow_rag_vla.benchmark.run.conclusion import (
    conclude,
    keep_gaps,
    render_stills,
    say_and_log,
    withdraw_results,
    work_on_run,
)
from flow_rag_vla.benchmark.run.run_plan import CPU_SCALE
from flow_rag_vla.benchmark.run.waiting_units import queue_of, run_waiting_units, set_aside
from flow_rag_vla.benchmark.scoring.results import notices
from flow_rag_vla.benchmark.scoring.starts import StartClock
from flow_rag_vla.benchmark.workers.incidents import Incidents
from flow_rag_vla.benchmark.workers.parcels import Parcels
from flow_rag_vla.benchmark.workers.pool import Pool

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.benchmark.run.conclusion import Reporter
    from flow_rag_vla.benchmark.run.run import Run
    from flow_rag_vla.benchmark.workers.crew import Crew
    from flow_rag_vla.benchmark.workers.shard import Shard

MERGE = "scripts/merge.py"
"""Puts the units of shards together."""


def carry_out(run: Run, reporter: Reporter, crew: Crew | None = None, shard: Shard | None = None) -> bool:
    """Run what is left of the plan, then score and report; False where something broke on the way.

    The units, or those of ``shard`` alone, are run by ``crew``, or in this process.  Of a shard that waits for others
    nothing is scored; it is True, as all of its own has run.
    """
    path = run.directory.path
    with work_on_run(path) as work:
        say(work.console, _headline(run))
        with StartClock(path) as clock, ends_in_time(clock.note_interrupted):
            withdraw_results(path)
            if crew is not None:
                done, given_up = _run_in_workers(run, work.console, clock.note, crew, shard)
            else:
                done, given_up = run_waiting_units(run, work.console, clock.note, shard), {}
            if given_up:
                waiting = (unit.id for unit in run.plan.units if unit.id not in done) if shard is None else ()
                keep_gaps(path, given_up, waiting)
                if shard is None:
                    with suppress(IncompleteError):  # nothing at all has run
                        conclude(path, reporter, work.console)
                raise IncompleteError(_missing(run, done, given_up))
            if shard is not None and (elsewhere := shard.missing(run.plan.units, done)):
                waits = f"units left: {elsewhere} ({MERGE} puts shards together)"
                say(work.console, f"shard {shard}: all that it can run now is done; {waits}")
                work.complete = True
                return True
            render_stills(path, work.console)
        conclude(path, reporter, work.console)
    return work.complete


def _run_in_workers(
    run: Run, console: TextIO, on_unit_done: Callable[[], None], crew: Crew, shard: Shard | None
) -> tuple[set[str], dict[str, str]]:
    """``run_waiting_units`` by ``crew``; returns what is done, and what was given up and why.

    Raises:
        RuntimeError: workers do not start.
    """
    settings, directory = run.settings, run.directory
    barriers = run.barriers()
    queue = queue_of(run, barriers, shard)
    parcels = Parcels(directory.path, run.plan.units, queue, barriers)
    pool = Pool(
        lambda device, num_envs: crew.start(directory.path, device, num_envs, parcels),
        crew.devices,
        settings.num_envs or CPU_SCALE,
        Incidents(directory.path),
    )

    def make_room(task: str) -> None:
        if (unit := queue.unit(task)) is not None:
            set_aside(run, unit, console)

    say_start(console, settings.device)
    with Progress(sum(len(unit.episodes) for unit in queue.waiting), "episodes", console) as progress:
        given_up = pool.run(
            queue,
            make_room,
            lambda task: on_unit_done(),
            progress.update,
            lambda notice: say_and_log(directory.path, console, notice),
        )
    barriers.merge_done(lambda unit: unit.id in queue.done)
    return queue.done, given_up


def _missing(run: Run, done: set[str], given_up: Iterable[str]) -> str:
    missing = [unit for unit in run.plan.units if unit.id not in done]
    return (
        f"given up: {', '.join(given_up)}; {sum(len(unit.episodes) for unit in missing)} of "
        f"{sum(len(unit.episodes) for unit in run.plan.units)} episodes are missing, in {len(missing)} units"
    )


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
