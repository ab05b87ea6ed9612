"""Success of one arm on fresh scenarios of one kind: what training and tuning look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.checkpoint import load_checkpoint
from flow_rag_vla.benchmark.actors import (
    EXPERTS,
    checkpoint_path,
    default_arm_settings,
    make_expert,
    make_policy_agent,
    vision_encoder,
)
from flow_rag_vla.benchmark.plan import E1, PlannedEpisode, Unit
from flow_rag_vla.benchmark.progress import Progress
from flow_rag_vla.benchmark.rollout import run_wave
from flow_rag_vla.benchmark.seeds import MAX_SITES, SPLITS, seed_block
from flow_rag_vla.benchmark.statistics import proportion
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.make import make_fleet, resolve_device
from flow_rag_vla.tasks.sites import make_site

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.tasks.manipulation_env import ManipulationEnv

MAX_STEPS = 260


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate; ``num_envs`` is also the number of episodes."""

    task: str
    checkpoint: str
    num_envs: int
    seed: int
    split: str
    arm: str
    fault: str
    ode_steps: int
    execute: int
    physics: str
    device: str
    obs: str = "state"
    vision: str = "default"
    """Vision checkpoint, where ``obs`` is ``rgb``."""


def evaluate(request: EvaluationRequest, console: TextIO) -> dict[str, Any]:
    """Task, n and success with its Wilson interval, as JSON-able values.

    Raises:
        ValueError: an unknown task, preset or checkpoint, or an expert that is to see pictures.
        KeyError: an unknown fault.
    """
    if request.obs == "rgb" and request.arm in EXPERTS:
        raise ValueError(f"arm {request.arm!r} is told the state and looks at no pictures; use --obs state")
    vision = vision_encoder(request.obs, request.vision, resolve_device(request.device))
    fault = None if request.fault == "none" else get_fault(request.fault)
    site = make_site(SPLITS[request.split].start + request.seed * MAX_SITES, request.task)
    scenarios = [site.scenario(seed, fault) for seed in seed_block(request.split, request.seed, request.num_envs)]
    policy = None
    path = checkpoint_path(request.checkpoint)
    if request.arm not in EXPERTS:
        policy = load_checkpoint(path, resolve_device(request.device))
        policy.flow.cfg.ode_steps = request.ode_steps
    env = make_fleet(
        request.task,
        request.num_envs,
        physics=request.physics,
        device=request.device,
        max_steps=MAX_STEPS,
        camera=vision is not None,
    )
    if policy is None:
        agent = make_expert(request.arm, env, scenarios)
    else:
        agent = make_policy_agent(request.arm, env, policy, default_arm_settings(path, request.execute), vision=vision)
    return _run(env, agent, request, [PlannedEpisode(E1, s, s.id, 0) for s in scenarios], console)


def _run(
    env: ManipulationEnv,
    agent: Agent,
    request: EvaluationRequest,
    episodes: list[PlannedEpisode],
    console: TextIO,
) -> dict[str, Any]:
    unit = Unit(request.arm, 0, request.num_envs, tuple(episodes))
    with Progress(request.num_envs, "episodes", console) as progress:
        wave = run_wave(env, agent, unit, episodes, 0.0, progress.update, images=request.obs == "rgb")
    env.close()
    valid = [r for r in wave.records if r.valid]
    success = proportion(sum(r.succeeded for r in valid), len(valid))
    kinds = [r.failure_type or "none" for r in valid if r.failed]
    steps = sorted(r.steps for r in valid if r.succeeded)
    return {
        "task": request.task,
        "arm": request.arm,
        "obs": request.obs,
        "fault": request.fault,
        "fault_class": str(FaultClass.CLEAN if request.fault == "none" else get_fault(request.fault).fault_class),
        "split": request.split,
        "seed": request.seed,
        "n": len(wave.records),
        "invalid": len(wave.records) - len(valid),
        "success": {"k": success.k, "n": success.n, "rate": success.rate, "ci95": success.ci95},
        "failures": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "median_steps": steps[len(steps) // 2] if steps else None,
    }
