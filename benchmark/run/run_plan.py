"""What a run is to do, from its settings: filled in for this machine and this policy, and planned.

Nothing is built or written yet.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.arms.arm import Suite
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.episodes.plan import Plan, make_plan, plan_scenarios
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import MAX_LAYOUTS, first_site
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.tasks.env.make import resolve_device, resolve_physics
from flow_rag_vla.tasks.physics.quiet import quiet_console
from flow_rag_vla.tasks.scenarios.scenario_file import ScenarioFile, read_scenario_file
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.scenarios.sites import Site

CPU_SCALE, CUDA_SCALE, QUICK_SCALE = 1024, 4096, 64

ROUNDS, CONTROL_ROUNDS = 2, 4
"""Of E2.  The second teaches most: where the first correction did not help, the next one is tried.

Development seed 31, ten sites, 400 scenarios, NEAR success of ``parallel`` by round: 66, 80 and 85 % (of
``flow_only`` 17 to 19 %).
"""


def resolve_settings(settings: BenchmarkSettings) -> BenchmarkSettings:
    """``settings`` with every default of the device filled in.

    Raises:
        UsageError: the device does not exist, or the physics preset cannot run here.
    """
    device = resolve_device(settings.device)
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device {device!r}: no CUDA device here; available: cpu")
    if device != "cpu" and not device.startswith("cuda"):
        raise UsageError(f"unknown device {device!r}; expected cpu, cuda:N or auto")
    with quiet_console(os.devnull):
        # Importing the simulator prints what it did not find.
        from flow_rag_vla.tasks.physics.presets import require_physics

        physics = resolve_physics(settings.physics, device)
        require_physics(physics, device)
    scale = QUICK_SCALE if settings.quick else CUDA_SCALE if device.startswith("cuda") else CPU_SCALE
    scenarios = settings.scenarios or scale
    # Few batches matter more than small ones: E2 has up to 1.7 episodes for each scenario.
    num_envs = settings.num_envs or (2 * QUICK_SCALE if settings.quick else scale)
    rounds = CONTROL_ROUNDS if settings.ablation == Suite.CONTROL else 1 if settings.quick else ROUNDS
    return dataclasses.replace(
        settings,
        device=device,
        physics=physics,
        num_envs=num_envs,
        block=settings.block or num_envs,
        scenarios=scenarios,
        rounds=settings.rounds or rounds,
        # A resume may be started elsewhere.
        checkpoint=_absolute(settings.checkpoint),
        vision=_absolute(settings.vision),
    )


def _absolute(file: str) -> str:
    return file if file == "default" else os.path.abspath(file)


def plan_run(settings: BenchmarkSettings, scenario_file: ScenarioFile | None = None) -> Plan:
    """The plan that resolved ``settings`` ask for, at the sites of ``scenario_file`` or else the suite's."""
    scenarios, num_envs, rounds = settings.scenarios, settings.num_envs, settings.rounds
    if scenarios is None or num_envs is None or rounds is None:
        raise ValueError("plan_run needs resolved settings")
    sites, exposures = run_sites(settings, scenario_file), settings.met_again
    new_layouts = rounds if Exposure.FAR in exposures else 0
    if (1 + new_layouts) * scenarios > MAX_LAYOUTS:
        new = f" and as many new ones in each of {rounds} rounds (exposure far)" if new_layouts else ""
        raise ValueError(f"{scenarios} scenarios need as many layouts{new}, a seed offers {MAX_LAYOUTS}")
    first, *visits = (
        plan_scenarios(sites, scenarios, settings.seed, settings.split, visit) for visit in range(1 + new_layouts)
    )
    plan = make_plan(first, settings.arms, num_envs, rounds, settings.block, exposures=exposures, visits=visits)
    if all(unit.round == 0 for unit in plan.units):
        raise ValueError(f"exposures {', '.join(exposures)} meet none of the {scenarios} scenarios again")
    return plan


def run_sites(settings: BenchmarkSettings, scenario_file: ScenarioFile | None = None) -> list[Site]:
    """The sites that ``settings`` name: those of ``scenario_file`` or else the suite's."""
    if scenario_file is not None:
        return list(scenario_file.sites)
    first = first_site(settings.split, settings.seed)
    return [make_site(first + i, settings.task) for i in range(settings.sites)]


def scenario_file_of(settings: BenchmarkSettings) -> ScenarioFile | None:
    """The user's sites and faults; None where ``settings`` name no file.

    Raises:
        ValueError: as ``read_scenario_file``.
    """
    return read_scenario_file(settings.scenario_file, settings.task) if settings.scenario_file else None


def with_policy_defaults(settings: BenchmarkSettings, policy: PolicyCheckpoint) -> BenchmarkSettings:
    """``settings`` with what ``policy`` decides where they leave it open, so that the run's record says it.

    Raises:
        ValueError: more actions are to be executed than its chunks have.
    """
    cfg, horizon = policy.flow.cfg, policy.flow.horizon
    ode_steps = cfg.ode_steps if settings.agent.ode_steps is None else settings.agent.ode_steps
    agent = dataclasses.replace(settings.agent, ode_steps=ode_steps, execute=settings.agent.executed(horizon))
    return dataclasses.replace(settings, agent=agent)
