"""Runs the units of a run that are not done, on one fleet: in this process, one after the other, or for a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.benchmark.command.console import say_start
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import opened
from flow_rag_vla.benchmark.run.conclusion import say_and_log
from flow_rag_vla.benchmark.run.decision_times import DecisionTimes
from flow_rag_vla.benchmark.run.run_plan import CPU_SCALE
from flow_rag_vla.benchmark.run.units import Player, UnitContext, run_unit
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.score import probed_timing
from flow_rag_vla.benchmark.workers.unit_queue import UnitQueue
from flow_rag_vla.tasks.env.make import make_fleet

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.benchmark.run.run import Run
    from flow_rag_vla.benchmark.workers.barriers import Barriers
    from flow_rag_vla.benchmark.workers.shard import Shard
    from flow_rag_vla.tasks.env.fleet import Fleet


class Bench:
    """A fleet on which a run's units are run, one after the other."""

    def __init__(self, run: Run, env: Fleet, vision: VisionEncoder | None, barriers: Barriers, console: TextIO) -> None:
        """Use ``opened_bench``."""
        self._run, self._env, self._vision = run, env, vision
        self._barriers, self._player = barriers, Player()
        self._times = DecisionTimes(run, env, barriers, console)

    def run(self, unit: Unit, on_progress: Callable[[int], None]) -> None:
        """Run ``unit``; ``on_progress`` as in ``run_unit``."""
        run, latency = self._run, self._times.latency_in(unit)
        context = UnitContext(
            run.directory,
            self._barriers,
            self._env,
            run.networks.policy,
            run.arm_settings(latency),
            latency,
            self._vision,
            self._player,
        )
        run_unit(context, unit, on_progress)

    def time_decisions(self) -> None:
        """Time single decisions where nobody has."""
        self._times.measured()


@contextmanager
def opened_bench(run: Run, barriers: Barriers, console: TextIO, num_envs: int | None = None) -> Iterator[Bench]:
    """A bench of ``num_envs`` environments, or of as many as planned."""
    settings = run.settings
    torch.set_num_threads(settings.threads)
    fleet = make_fleet(
        settings.task,
        num_envs or settings.num_envs or CPU_SCALE,
        physics=settings.physics,
        device=settings.device,
        max_steps=settings.max_steps,
        camera=settings.obs == "rgb",
    )
    with closing(fleet) as env, opened(run.networks.vision, asynchronous=settings.vision_async) as vision:
        yield Bench(run, env, vision, barriers, console)


def queue_of(run: Run, barriers: Barriers, shard: Shard | None = None) -> UnitQueue:
    """What of ``run`` is left to do, in ``shard`` alone where there is one; the first has the latency probe."""
    return UnitQueue(
        run.plan.units,
        barriers,
        lambda unit: not run.directory.why_not_done(unit),
        probe=probed_timing(run.directory.path) is None and (shard is None or shard.number == 1),
        probe_before_e2=run.settings.latency == "measured",
        only=None if shard is None else shard.ids(run.plan.units),
    )


def run_waiting_units(
    run: Run, console: TextIO, on_unit_done: Callable[[], None], shard: Shard | None = None
) -> set[str]:
    """Run what waits, and time single decisions where nobody has; ``on_unit_done`` is called after each unit.

    Returns the ids of the units that are done.
    """
    barriers = run.barriers()
    queue = queue_of(run, barriers, shard)
    for unit in queue.waiting:
        set_aside(run, unit, console)
    total, finished = sum(len(unit.episodes) for unit in queue.waiting), 0
    say_start(console, run.settings.device)
    with opened_bench(run, barriers, console) as bench, Progress(total, "episodes", console) as progress:
        while (task := queue.take()) is not None:
            unit = queue.unit(task)
            if unit is None:
                bench.time_decisions()
            else:
                set_aside(run, unit, console)
                note = f"{unit.arm} round {unit.round}"
                bench.run(unit, lambda n, d=finished, t=note: progress.update(d + n, t))
                finished += len(unit.episodes)
                on_unit_done()
            queue.finished(task)
    barriers.merge_done(lambda unit: unit.id in queue.done)
    return queue.done


def set_aside(run: Run, unit: Unit, console: TextIO) -> None:
    """Make room for ``unit``, and say what of it had run: no result counts that."""
    if not run.directory.unit(unit).exists():
        return
    reason = run.directory.why_not_done(unit)
    folder = run.directory.set_aside(unit)
    if folder is None:
        return
    log = folder / run_files.EPISODES
    rows = log.read_bytes().count(b"\n") if log.is_file() else 0
    broken = f", but {reason}" if (folder / run_files.DONE).exists() else " when it was interrupted"
    say_and_log(
        run.directory.path,
        console,
        f"{unit.arm} round {unit.round}: {rows} of {len(unit.episodes)} episodes had run{broken}; they are set aside "
        f"in {folder} and run again",
    )
