"""Runs the units of a run that are not done, one after the other on one fleet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.benchmark.command.console import say_start
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import opened
from flow_rag_vla.benchmark.run.conclusion import say_and_log
from flow_rag_vla.benchmark.run.decision_times import DecisionTimes
from flow_rag_vla.benchmark.run.run_plan import CPU_SCALE
from flow_rag_vla.benchmark.run.units import UnitContext, run_unit
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.tasks.env.make import make_fleet

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.benchmark.run.run import Run


def run_waiting_units(run: Run, console: TextIO, on_unit_done: Callable[[], None]) -> None:
    """Run what waits, and time single decisions where nobody has; ``on_unit_done`` is called after each unit."""
    settings = run.settings
    torch.set_num_threads(settings.threads)
    waiting = []
    for unit in run.plan.units:
        if reason := run.directory.why_not_done(unit):
            waiting.append(unit)
            _set_aside(run, unit, reason, console)
    say_start(console, settings.device)
    fleet = make_fleet(
        settings.task,
        settings.num_envs or CPU_SCALE,
        physics=settings.physics,
        device=settings.device,
        max_steps=settings.max_steps,
        camera=settings.obs == "rgb",
    )
    with closing(fleet) as env:
        times = DecisionTimes(run, env, console)
        total = sum(len(unit.episodes) for unit in waiting)
        finished = 0
        with (
            Progress(total, "episodes", console) as progress,
            opened(run.networks.vision, asynchronous=settings.vision_async) as vision,
        ):
            for unit in run.plan.units:
                # Asked again: a unit that ran again may have left another memory than this one began with.
                reason = run.directory.why_not_done(unit)
                if not reason:
                    continue
                _set_aside(run, unit, reason, console)
                latency = times.latency_in(unit)
                arm_settings = run.arm_settings(latency)
                context = UnitContext(run.directory, run.plan, env, run.networks.policy, arm_settings, latency, vision)
                note = f"{unit.arm} round {unit.round}"
                run_unit(context, unit, lambda n, d=finished, t=note: progress.update(d + n, t))
                finished += len(unit.episodes)
                on_unit_done()
        times.measured()


def _set_aside(run: Run, unit: Unit, reason: str, console: TextIO) -> None:
    """Make room for ``unit``, not done for ``reason``, and say what of it had run: no result counts that."""
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
