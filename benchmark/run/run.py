"""A benchmark run from settings to report."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.arms.settings import ArmSettings
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.certification.certificate import load_certificate, uncertified
from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import arm_settings, opened
from flow_rag_vla.benchmark.episodes.episode_log import write_episodes_parquet
from flow_rag_vla.benchmark.episodes.latency import LatencyProfile, parse_latency
from flow_rag_vla.benchmark.episodes.plan import Plan, Unit
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.run.networks import Networks, load_networks
from flow_rag_vla.benchmark.run.probe import REPETITIONS, WARM_UP, probe_arms
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.run_plan import (
    CPU_SCALE,
    plan_run,
    resolve_settings,
    scenario_file_of,
    with_policys_own,
)
from flow_rag_vla.benchmark.run.units import MEMORY_FILE, UnitContext, run_unit
from flow_rag_vla.benchmark.scoring.metrics import summarise
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, Timing
from flow_rag_vla.tasks.env.batches import padded
from flow_rag_vla.tasks.env.make import make_fleet
from flow_rag_vla.tasks.physics.quiet import quiet_console

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv


class Reporter(Protocol):
    """Shows a finished run; handed in by the caller, since results know nothing of reports."""

    def build(self, run_dir: Path) -> Path:
        """Write the report and return its path."""
        ...

    def table(self, run_dir: Path) -> str:
        """The ablation table for a terminal."""
        ...


PROBE_OBSERVATIONS = 32
STILLS_TIMEOUT_S = 240.0


def start_benchmark(settings: BenchmarkSettings, argv: Sequence[str], reporter: Reporter) -> bool:
    """Run from scratch; True when everything planned has run.

    Raises:
        UsageError: the settings cannot run here; nothing is left behind.
        ValueError: likewise.
    """
    settings = resolve_settings(settings)
    networks = load_networks(settings)
    settings = with_policys_own(settings, networks.policy)
    scenario_file = scenario_file_of(settings)
    plan = plan_run(settings, scenario_file)
    parse_latency(settings.latency, settings.arms, {})
    name = settings.ablation.replace(",", "+")
    directory = RunDirectory.create(settings.out, name)
    try:
        extra: dict[str, object] = {
            "physics": settings.physics,
            **networks.sha256,
            "uncertified_faults": uncertified(plan.scenarios, load_certificate(settings.task)),
        }
        if settings.vision_async:
            extra["reproducible"] = (
                "no, not bit for bit: with vision_async, which sighting a decision uses depends on how fast the "
                "machine is"
            )
        if scenario_file is not None:
            extra["scenario_file"] = directory.keep_scenario_file(scenario_file)
        directory.start(settings, plan, argv, extra)
    except BaseException:
        directory.discard()
        raise
    return _run(directory, settings, plan, networks, reporter)


def resume_benchmark(path: str, reporter: Reporter) -> bool:
    """Finish the run in ``path``; True when everything planned has run.

    Raises:
        UsageError: there is no such run, or this code would plan it differently.
    """
    directory = RunDirectory.open(path)
    settings = directory.settings()
    networks = load_networks(settings)
    manifest = directory.manifest()
    for name, sha in networks.sha256.items():
        if manifest.get(name, sha) != sha:
            raise UsageError(f"--resume {path!r}: the run was started with another {name.removesuffix('_sha256')}")
    plan = plan_run(settings, scenario_file_of(settings))
    directory.check_plan(plan)
    return _run(directory, settings, plan, networks, reporter)


def _run(
    directory: RunDirectory,
    settings: BenchmarkSettings,
    plan: Plan,
    networks: Networks,
    reporter: Reporter,
) -> bool:
    """Run what is left of the plan, then merge and report; False where something broke on the way."""
    start = time.monotonic()
    again = f"finish it with --resume {directory.path}"
    with quiet_console(directory.path / "log.txt") as console:
        _say(console, _headline(settings, plan, directory))
        try:
            timings = _run_units(directory, settings, plan, networks, console)
            _pictures(directory, console)
            _conclude(directory, settings, plan, timings, time.monotonic() - start)
            report = reporter.build(directory.path)
        except KeyboardInterrupt:
            _say(console, f"interrupted; {again}")
            raise
        except (ValueError, RuntimeError, OSError, LookupError, ArithmeticError) as error:
            traceback.print_exc()
            _say(console, f"incomplete: {error} (details: {directory.path / 'log.txt'}); {again}")
            return False
        _say(console, "\n" + reporter.table(directory.path) + "\n")
        _say(console, str(report))
    return True


def _run_units(
    directory: RunDirectory,
    settings: BenchmarkSettings,
    plan: Plan,
    networks: Networks,
    console: TextIO,
) -> dict[str, ArmTiming]:
    """Run the units that are not done; returns the latency probe's timings."""
    torch.set_num_threads(settings.threads)
    waiting = [unit for unit in plan.units if not directory.is_done(unit)]
    _say(console, "starting the simulation (the first start on a machine compiles kernels: about a minute)")
    env = make_fleet(
        settings.task,
        settings.num_envs or CPU_SCALE,
        physics=settings.physics,
        device=settings.device,
        max_steps=settings.max_steps,
        camera=settings.obs == "rgb",
    )
    probe = _Probe(settings, networks, plan, directory, env)
    total = sum(len(unit.episodes) for unit in waiting)
    finished = 0
    with (
        Progress(total, "episodes", console) as progress,
        opened(networks.vision, asynchronous=settings.vision_async) as vision,
    ):
        for unit in waiting:
            latency = _latency(directory, settings, unit, probe, console)
            arm_settings = _arm_settings(settings, networks, latency)
            context = UnitContext(directory, plan, env, networks.policy, arm_settings, latency, vision)
            note = f"{unit.arm} round {unit.round}"
            run_unit(context, unit, lambda n, d=finished, t=note: progress.update(d + n, t))
            finished += len(unit.episodes)
    timings = probe.timings(console)
    env.close()
    return timings


def _latency(
    directory: RunDirectory, settings: BenchmarkSettings, unit: Unit, probe: _Probe, console: TextIO
) -> LatencyProfile:
    """The run's latency profile; measured once, after E1, and kept for a resumed run."""
    if settings.latency != "measured":
        return parse_latency(settings.latency, settings.arms)
    if unit.round == 0:
        return LatencyProfile({})
    kept = directory.path / "latency.json"
    if not kept.is_file():
        write_json_atomic(kept, probe.medians(console))
    return parse_latency("measured", settings.arms, read_json_object(kept))


def _say(console: TextIO, text: str) -> None:
    console.write(text + "\n")
    console.flush()


def _headline(settings: BenchmarkSettings, plan: Plan, directory: RunDirectory) -> str:
    episodes = sum(len(unit.episodes) for unit in plan.units)
    return (
        f"{settings.task} · {', '.join(settings.arms)} · {episodes} episodes in {settings.num_envs} environments "
        f"({settings.physics}, {settings.device})\nrun directory: {directory.path}{_doubt(directory)}"
    )


def _doubt(directory: RunDirectory) -> str:
    """A line on faults that nobody has shown to be feasible and hazardous, and one on a run that hangs on timing."""
    manifest = directory.manifest()
    names, reproducible = manifest.get("uncertified_faults"), manifest.get("reproducible")
    timing = f"\nreproducible: {reproducible}" if reproducible else ""
    return timing + (f"\nnot certified (scripts/certify_scenarios.py): {', '.join(names)}" if names else "")


def _arm_settings(settings: BenchmarkSettings, networks: Networks, latency: LatencyProfile) -> ArmSettings:
    return dataclasses.replace(
        arm_settings(settings.agent, networks.policy.flow.horizon, networks.bank, networks.detector),
        seed=settings.seed,
        flow_ms=latency.flow_ms,
        retrieval_ms=latency.retrieval_ms,
    )


class _Probe:
    """Times single decisions after E1 (or at the end), on observations of E1's first layouts."""

    def __init__(
        self,
        settings: BenchmarkSettings,
        networks: Networks,
        plan: Plan,
        directory: RunDirectory,
        env: ManipulationEnv,
    ) -> None:
        self._settings, self._networks, self._plan = settings, networks, plan
        self._directory, self._env = directory, env
        self._timings: dict[str, ArmTiming] | None = None

    def timings(self, console: TextIO) -> dict[str, ArmTiming]:
        """Measured once."""
        if self._timings is None:
            settings = _arm_settings(self._settings, self._networks, LatencyProfile({}))
            e1 = self._directory.unit(self._plan.units[0]) / "memory" / MEMORY_FILE
            memories = {
                arm: new_memory(settings, self._networks.policy.flow.horizon, e1).frozen()
                for arm in self._settings.arms
                if get_arm(arm).consults_memory
            }
            steps = WARM_UP + REPETITIONS
            # In step, also where the run's pictures come late: arms that take turns would else wait for each other's.
            with Progress(steps, "timed decisions", console) as progress:
                self._timings = probe_arms(
                    self._settings.arms,
                    self._networks.policy,
                    memories,
                    settings,
                    self._observations(),
                    lambda done: progress.update(done, "latency probe"),
                    self._networks.vision,
                )
        return self._timings

    def medians(self, console: TextIO) -> dict[str, float]:
        """Arm to its median latency, ms."""
        timings = self.timings(console)
        return {arm: t.decision_latency_ms.p50 for arm, t in timings.items() if t.decision_latency_ms}

    def _observations(self) -> list[Observation]:
        scenarios = [e.scenario for e in self._plan.units[0].episodes][: self._env.num_envs]
        self._env.load(padded(scenarios, self._env.num_envs), [0] * self._env.num_envs)
        observation = self._env.observe(images=self._settings.obs == "rgb")
        count = min(PROBE_OBSERVATIONS, self._env.num_envs)
        return [observation.select(torch.tensor([i], device=self._env.device)) for i in range(count)]


def _conclude(
    directory: RunDirectory,
    settings: BenchmarkSettings,
    plan: Plan,
    timings: dict[str, ArmTiming],
    wall_s: float,
) -> None:
    """Merge and summarise."""
    records = [record for unit in plan.units for record in directory.records(unit)]
    merged = directory.path / "merged"
    merged.mkdir(exist_ok=True)
    write_episodes_parquet(merged / "episodes.parquet", records)
    last = {unit.arm: unit for unit in plan.units}
    entries = {
        arm: directory.measured(unit)["memory_entries"] if get_arm(arm).consults_memory else None
        for arm, unit in last.items()
    }
    summarise(records, task=settings.task, physics=settings.physics, memory_entries=entries, seed=settings.seed).write(
        directory.path
    )
    arms = {arm: _with_fleet(timings.get(arm, ArmTiming()), directory, unit) for arm, unit in last.items()}
    Timing(arms, wall_s).write(directory.path)


def _with_fleet(timing: ArmTiming, directory: RunDirectory, unit: Unit) -> ArmTiming:
    measured = directory.measured(unit)
    fields = ("env_steps_per_s", "ms_per_env_decision", "memory_bytes", "peak_rss_bytes")
    return dataclasses.replace(timing, **{name: measured[name] for name in fields})


def _pictures(directory: RunDirectory, console: TextIO) -> None:
    """Stills of the scene for the report, from a process of their own; a run without them is still a run."""
    folder = directory.path / "report" / "figures"
    _say(console, "rendering stills of the scene")
    command = [sys.executable, "-m", "flow_rag_vla.tasks.films.picture", str(folder)]
    with (directory.path / "log.txt").open("a") as log:
        try:
            subprocess.run(command, stdout=log, stderr=log, check=True, timeout=STILLS_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            _say(console, f"no stills: {error}")
