"""Success of one arm on fresh scenarios of one kind: what training and tuning look at."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from flow_rag_vla.agents.checkpoint import load_checkpoint
from flow_rag_vla.benchmark.actors import EXPERTS, checkpoint_path, default_arm_settings, make_expert, make_policy_agent
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
    from flow_rag_vla.agents.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.flow_rag_vla import ChunkPolicy
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
    runtime: str = "torch"
    """One of ``runtimes.RUNTIMES``."""


def evaluate(request: EvaluationRequest, console: TextIO) -> dict[str, Any]:
    """Task, n and success with its Wilson interval, as JSON-able values.

    Raises:
        ValueError: an unknown task, preset, checkpoint or runtime.
        KeyError: an unknown fault.
    """
    fault = None if request.fault == "none" else get_fault(request.fault)
    site = make_site(SPLITS[request.split].start + request.seed * MAX_SITES, request.task)
    scenarios = [site.scenario(seed, fault) for seed in seed_block(request.split, request.seed, request.num_envs)]
    policy = chunks = None
    path = checkpoint_path(request.checkpoint)
    if request.arm not in EXPERTS:
        policy = load_checkpoint(path, resolve_device(request.device))
        policy.require_task(scenarios[0].task, path)
        policy.flow.cfg.ode_steps = request.ode_steps
        chunks = _other_runtime(request, policy, console)
    env = make_fleet(
        request.task, request.num_envs, physics=request.physics, device=request.device, max_steps=MAX_STEPS
    )
    if policy is None:
        agent = make_expert(request.arm, env, scenarios)
    else:
        settings = default_arm_settings(path, request.execute)
        agent = make_policy_agent(request.arm, env, policy, settings, chunk_policy=chunks)
    return _run(env, agent, request, [PlannedEpisode(E1, s, s.id, 0) for s in scenarios], console)


def _other_runtime(request: EvaluationRequest, policy: PolicyCheckpoint, console: TextIO) -> ChunkPolicy | None:
    """``policy`` by ``request.runtime``; None for the policy as it is."""
    if request.runtime == "torch":
        return None
    # Imported late: ONNX takes a second that few evaluations need.
    from flow_rag_vla.agents.deployment.runtimes import OnnxFiles, build_runtime, chunk_policy

    with tempfile.TemporaryDirectory() as folder:
        threads, rows = torch.get_num_threads(), request.num_envs
        files = OnnxFiles(policy, Path(folder))
        runtime = build_runtime(request.runtime, policy, files, threads=threads, batch=rows)
    if runtime.note:
        print(runtime.note, file=console, flush=True)
    return chunk_policy(policy, runtime.run)


def _run(
    env: ManipulationEnv,
    agent: Agent,
    request: EvaluationRequest,
    episodes: list[PlannedEpisode],
    console: TextIO,
) -> dict[str, Any]:
    unit = Unit(request.arm, 0, request.num_envs, tuple(episodes))
    with Progress(request.num_envs, "episodes", console) as progress:
        wave = run_wave(env, agent, unit, episodes, 0.0, progress.update)
    env.close()
    valid = [r for r in wave.records if r.valid]
    success = proportion(sum(r.succeeded for r in valid), len(valid))
    kinds = [r.failure_type or "none" for r in valid if r.failed]
    steps = sorted(r.steps for r in valid if r.succeeded)
    return {
        "task": request.task,
        "arm": request.arm,
        "fault": request.fault,
        "fault_class": str(FaultClass.CLEAN if request.fault == "none" else get_fault(request.fault).fault_class),
        "split": request.split,
        "seed": request.seed,
        "runtime": request.runtime,
        "n": len(wave.records),
        "invalid": len(wave.records) - len(valid),
        "success": {"k": success.k, "n": success.n, "rate": success.rate, "ci95": success.ci95},
        "failures": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "failed_layouts": [i for i, r in enumerate(wave.records) if r.valid and r.failed],
        "median_steps": steps[len(steps) // 2] if steps else None,
    }
