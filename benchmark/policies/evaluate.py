"""Success of one arm on fresh scenarios of one kind: what training and tuning look at."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import (
    default_arm_settings,
    load_bank,
    load_policy,
    make_expert,
    make_policy_agent,
    open_vision,
)
from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit, first_attempts
from flow_rag_vla.benchmark.episodes.reworded import RewordedAgent
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.episodes.seeds import first_site, seed_block
from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
from flow_rag_vla.tasks.contract import MAX_STEPS, FaultClass
from flow_rag_vla.tasks.env.make import make_fleet, resolve_device
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.chunk_policy import ChunkPolicy
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.faults.definition.fault import Fault


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
    ode_steps: int | None
    """Solver steps; None for the checkpoint's own."""
    execute: int | None
    """Actions of a chunk that run before the next decision; None for ``AgentSettings``' default."""
    physics: str
    device: str
    wording: str = "own"
    """``own``, the instruction of each episode; ``held_out``, texts that the policy was not trained on; ``other_task``,
    as a control, what the next task's episodes are told: a policy that listens then does something else."""
    runtime: str = "torch"
    """One of ``runtimes.RUNTIMES``."""
    obs: str = "state"
    vision: str = "default"
    """Vision checkpoint, where ``obs`` is ``rgb``."""
    vision_async: bool = False
    """Look at pictures in a worker thread; the result then depends on timing."""


def evaluate(request: EvaluationRequest, console: TextIO) -> dict[str, Any]:
    """Task, n and success with its Wilson interval, as JSON-able values; the age of pictures where they come late.

    Raises:
        ValueError: an unknown preset, checkpoint or runtime, a checkpoint for other tasks or with chunks shorter than
            ``execute``, an expert that is to see pictures, or pictures with another runtime than torch.
        UnknownNameError: an unknown task or fault.
    """
    arm = get_arm(request.arm)
    if request.obs == "rgb" and not arm.has_policy:
        raise ValueError(f"arm {request.arm!r} is told the state and looks at no pictures; use --obs state")
    if request.obs == "rgb" and request.runtime != "torch":
        raise ValueError(f"runtime {request.runtime!r} was not made for --obs rgb; expected torch")
    device = resolve_device(request.device)
    with open_vision(request.obs, request.vision, device, asynchronous=request.vision_async) as vision:
        return _evaluate(request, vision, console)


def _evaluate(request: EvaluationRequest, vision: VisionEncoder | None, console: TextIO) -> dict[str, Any]:
    fault = None if request.fault == "none" else get_fault(request.fault)
    episodes = planned_episodes(request.task, request.split, request.seed, request.num_envs, fault)
    policy = chunks = settings = None
    arm = get_arm(request.arm)
    if arm.has_policy:
        device = resolve_device(request.device)
        policy = load_policy(request.checkpoint, get_task(request.task).name, device, request.ode_steps)
        bank = load_bank([arm], request.checkpoint, policy, device)
        settings = default_arm_settings(policy.flow.horizon, request.task, request.execute, bank)
        chunks = _other_runtime(request, policy, console)
    fleet = make_fleet(
        request.task,
        request.num_envs,
        physics=request.physics,
        device=request.device,
        max_steps=MAX_STEPS,
        camera=vision is not None,
    )
    with closing(fleet) as env:
        if policy is None or settings is None:
            agent = make_expert(arm, env)
        else:
            agent = make_policy_agent(arm, env, policy, settings, chunk_policy=chunks, vision=vision)
            if request.wording != "own":
                agent = RewordedAgent(agent, spoken_instead(request.task, request.wording), request.num_envs)
        result = _run(env, agent, request, episodes, console)
    ages = None if vision is None else vision.take_ages()
    return result if ages is None else result | {"picture_age": ages}


def spoken_instead(task: str, wording: str) -> tuple[str, ...]:
    """Texts that replace the episodes' own.

    Raises:
        UnknownNameError: an unknown task.
        ValueError: ``wording`` is not one that replaces.
    """
    spec = get_task(task)
    if wording == "held_out":
        return spec.held_out_instructions
    if wording != "other_task":
        raise ValueError(f"wording {wording!r} replaces nothing; available: held_out, other_task")
    tasks = all_tasks()
    return tasks[(tasks.index(spec) + 1) % len(tasks)].instructions


def planned_episodes(
    task: str, split: str, seed: int, num_episodes: int, fault: Fault | None = None
) -> list[PlannedEpisode]:
    """First attempts at ``num_episodes`` layouts of ``split``, named by ``seed``, with ``fault`` or none."""
    site = make_site(first_site(split, seed), task)
    return first_attempts([site.scenario(layout, fault) for layout in seed_block(split, seed, num_episodes)])


def _other_runtime(request: EvaluationRequest, policy: PolicyCheckpoint, console: TextIO) -> ChunkPolicy | None:
    """``policy`` by ``request.runtime``; None for the policy as it is."""
    if request.runtime == "torch":
        return None
    # Imported late: ONNX takes a second that few evaluations need.
    from flow_rag_vla.agents.deployment.runtimes import OnnxFiles, build_runtime, chunk_policy

    with tempfile.TemporaryDirectory() as folder:
        threads, rows = torch.get_num_threads(), request.num_envs
        files = OnnxFiles(policy, Path(folder), max_batch=rows)
        runtime = build_runtime(request.runtime, policy, files, threads=threads, batch=rows)
    if runtime.note:
        print(runtime.note, file=console, flush=True)
    return chunk_policy(policy, runtime.run)


def _run(
    env: Fleet,
    agent: Agent,
    request: EvaluationRequest,
    episodes: list[PlannedEpisode],
    console: TextIO,
) -> dict[str, Any]:
    unit = Unit(request.arm, 0, request.num_envs, tuple(episodes))
    with Progress(request.num_envs, "episodes", console) as progress:
        played = run_batch(env, agent, unit, episodes, 0.0, progress.update)
    return {
        "task": get_task(request.task).name,
        "arm": request.arm,
        "obs": request.obs,
        "vision_async": request.vision_async,
        "fault": request.fault,
        "fault_class": str(FaultClass.CLEAN if request.fault == "none" else get_fault(request.fault).fault_class),
        "wording": request.wording,
        "split": request.split,
        "seed": request.seed,
        "runtime": request.runtime,
        **outcome(played.records),
        "failed_layouts": [i for i, r in enumerate(played.records) if r.valid and r.failed],
    }


def outcome(records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Number, success with its Wilson interval, failures by type and median steps of success, JSON-able."""
    valid = [r for r in records if r.valid]
    success = proportion(sum(r.succeeded for r in valid), len(valid))
    kinds = [r.failure_type or "none" for r in valid if r.failed]
    steps = sorted(r.steps for r in valid if r.succeeded)
    return {
        "n": len(records),
        "invalid": len(records) - len(valid),
        "success": {"k": success.k, "n": success.n, "rate": success.rate, "ci95": success.ci95},
        "failures": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "median_steps": steps[len(steps) // 2] if steps else None,
    }
