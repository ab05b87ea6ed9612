"""Success and cost of flow policies by network, evaluations, executed chunk and task, as a Markdown page.

Episodes are clean development layouts, the same for every variant: a table to choose a default from, not a result to
report.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from flow_rag_vla.agents.arms.registry import reference_arm
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint, load_checkpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import default_arm_settings, make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.policies.evaluate import outcome, planned_episodes
from flow_rag_vla.benchmark.policies.timing import decision_ms, device_name, on_device, repeated
from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import MAX_STEPS
from flow_rag_vla.tasks.env.make import make_fleet

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

GUIDE = "implementation guide"


@dataclass(frozen=True)
class TableRequest:
    """What the table covers."""

    networks: dict[str, Path]
    """Name to checkpoint."""
    tasks: tuple[str, ...]
    evaluations: tuple[int, ...]
    """Euler steps, each with the first executed length."""
    executed: tuple[int, ...]
    """Actions executed of a chunk, each with the first number of evaluations."""
    num_envs: int
    seed: int
    batch: int
    """Rows of the large timed batch."""
    threads: int
    """Torch threads of the large batch; one decision is timed on one."""
    devices: tuple[str, ...] = ("cpu",)
    """Where decisions are timed; episodes run on the CPU."""


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    network: str
    evaluations: int
    executed: int


def variants(request: TableRequest, horizons: dict[str, int]) -> list[Variant]:
    """A cross through the grid: evaluations at the first executed length, lengths at the first number of evaluations.

    Lengths that exceed a network's horizon are left out.
    """
    rows = []
    for network in request.networks:
        pairs = [(e, request.executed[0]) for e in request.evaluations]
        pairs += [(request.evaluations[0], x) for x in request.executed[1:]]
        rows += [Variant(network, e, x) for e, x in pairs if x <= horizons[network]]
    return rows


def measure_table(request: TableRequest, console: TextIO) -> dict[str, Any]:
    """Rows of the table and timings, JSON-able.

    Raises:
        UnknownNameError: an unknown task.
        ValueError: a checkpoint that cannot be read or does not know a task.
    """
    policies = {name: load_checkpoint(path) for name, path in request.networks.items()}
    for name, policy in policies.items():
        for task in request.tasks:
            policy.require_task(get_task(task).name, request.networks[name])
    rows = variants(request, {name: policy.flow.horizon for name, policy in policies.items()})
    success: dict[Variant, dict[str, Any]] = {row: {} for row in rows}
    observation = None
    with Progress(len(rows) * len(request.tasks), "table cells", console) as progress:
        done = 0
        for task in request.tasks:
            episodes = planned_episodes(task, "development", request.seed, request.num_envs)
            with closing(make_fleet(task, request.num_envs, device="cpu", max_steps=MAX_STEPS)) as env:
                observation = env.load([e.scenario for e in episodes], [0] * len(episodes))
                for row in rows:
                    success[row][get_task(task).slug] = _success(env, policies[row.network], row, request, episodes)
                    done += 1
                    progress.update(done, f"{get_task(task).slug}, {row.network}")
    if observation is None:
        raise ValueError("the table needs at least one task")
    policies[GUIDE] = guide_policy(next(iter(policies.values())))
    return {
        "n": request.num_envs,
        "seed": request.seed,
        "batch": request.batch,
        "threads": request.threads,
        "rows": [{**vars(row), "success": cells} for row, cells in success.items()],
        "timings": list(_timings(policies, request, observation, console)),
    }


def guide_policy(like: PolicyCheckpoint) -> PolicyCheckpoint:
    """The implementation guide's network, untrained, behind the encoder of ``like``: for its speed alone."""
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg.guide(), prediction="velocity")).eval()
    return replace(like, flow=flow)


def _success(
    env: Fleet, policy: PolicyCheckpoint, row: Variant, request: TableRequest, episodes: list[PlannedEpisode]
) -> dict[str, Any]:
    policy = policy.with_steps(row.evaluations)
    arm = reference_arm()
    settings = default_arm_settings(policy.flow.horizon, env.task.slug, row.executed)
    agent = make_policy_agent(arm, env, policy, settings)
    played = run_batch(env, agent, Unit(arm.name, 0, len(episodes), tuple(episodes)), episodes, 0.0)
    return outcome(played.records)


def _timings(
    policies: dict[str, PolicyCheckpoint], request: TableRequest, observation: Observation, console: TextIO
) -> Iterator[dict[str, Any]]:
    for device, (name, network) in itertools.product(request.devices, policies.items()):
        single, fleet = repeated(observation, 1, device), repeated(observation, request.batch, device)
        guide = name == GUIDE
        for evaluations in (5,) if guide else request.evaluations:
            policy = on_device(network.with_steps(evaluations), device)
            one = decision_ms(policy, single, 1, 30 if guide else 300)
            many = decision_ms(policy, fleet, request.threads, *((2, 1) if guide else (20, 10)))
            console.write(f"{name}, {evaluations} evaluations, {device}: {one.p95:.1f} ms (p95), {many.p50:.0f} ms\n")
            yield {
                "network": name,
                "parameters": sum(p.numel() for p in _parameters(policy)),
                "evaluations": evaluations,
                "device": device_name(device),
                "batch_1_ms": vars(one),
                "batch_ms": vars(many),
            }


def _parameters(policy: PolicyCheckpoint) -> Sequence[torch.nn.Parameter]:
    encoder: LearnedStateEncoder = policy.encoder
    return [*encoder.parameters(), *policy.flow.parameters()]


def success_markdown(table: dict[str, Any]) -> str:
    """Network, evaluations and executed length against success by task."""
    rows = []
    for row in table["rows"]:
        counts = {task: cell["success"] for task, cell in row["success"].items()}
        cells = {task: str(proportion(count["k"], count["n"])) for task, count in counts.items()}
        rows.append(
            {"network": row["network"], "evaluations": row["evaluations"], "executed": row["executed"], **cells}
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def timing_markdown(table: dict[str, Any]) -> str:
    """Network and evaluations against parameters and milliseconds."""
    rows = [
        {
            "network": row["network"],
            "parameters": f"{row['parameters'] / 1e6:.2f} M",
            "evaluations": row["evaluations"],
            "device": row["device"],
            "batch 1, 1 thread: p50 / p95, ms": f"{row['batch_1_ms']['p50']:.1f} / {row['batch_1_ms']['p95']:.1f}",
            f"batch {table['batch']}, {table['threads']} threads: p50, ms": f"{row['batch_ms']['p50']:.0f}",
        }
        for row in table["timings"]
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
