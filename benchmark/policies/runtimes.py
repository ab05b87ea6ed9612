"""Runtimes of the policy side by side: how far their actions are from torch's, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from tabulate import tabulate

from flow_rag_vla.agents.deployment.runtimes import OnnxFiles, Runtime, build_runtime
from flow_rag_vla.agents.policy.demonstration_bank import demonstrated_features
from flow_rag_vla.benchmark.policies.timing import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint

type PolicyInputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Features, instruction embeddings and noise, as ``PolicyModule.forward`` takes them."""

WARM_UP, SINGLE_REPETITIONS, FLEET_REPETITIONS = 20, 400, 40
STEPS = 2 * WARM_UP + SINGLE_REPETITIONS + FLEET_REPETITIONS
"""Calls of ``on_step`` by ``compare_runtimes``."""


@dataclass(frozen=True)
class ActionDifference:
    """Largest absolute differences of two sets of chunks, in units of the action."""

    displacement_m: float
    rotation_rad: float
    grip: float


@dataclass(frozen=True)
class RuntimeRow:
    """One runtime."""

    runtime: str
    device: str
    """What computes."""
    p50_ms: float
    p95_ms: float
    """Of one row, one thread."""
    cpu_ms: float
    """Median processor time of the same: what is left of it on a machine with other work."""
    fleet_ms: float
    """Median of a fleet's decision, all threads."""
    fleet_cpu_ms: float
    """Median processor time of the same, all threads together."""
    model_bytes: int
    difference: ActionDifference
    """From torch, on the rows that were timed."""
    note: str


def action_difference(chunks: torch.Tensor, reference: torch.Tensor) -> ActionDifference:
    """How far ``chunks`` (n, horizon, 7) are from ``reference``, at worst."""
    worst = (chunks - reference).abs().flatten(0, 1).max(dim=0).values
    return ActionDifference(float(worst[:3].max()), float(worst[3:6].max()), float(worst[6]))


def demonstrated_inputs(policy: PolicyCheckpoint, bank: Path, rows: int, seed: int = 0) -> PolicyInputs:
    """``rows`` demonstrated states of the tasks that ``policy`` knows, each with a text of its task and fresh noise.

    Args:
        policy: Knows the texts.
        bank: What ``scripts/train.py`` wrote beside the checkpoint.
        rows: States, drawn with replacement.
        seed: Of the draw.

    Raises:
        ValueError: the bank is missing or damaged, or holds a task that the policy has no text for.
    """
    rng = torch.Generator().manual_seed(seed)
    features, task, tasks = demonstrated_features(bank)
    chosen = torch.randint(len(features), (rows,), generator=rng)
    texts = policy.encoder.instructions
    embeddings = torch.empty(rows, policy.encoder.cfg.instruction_dim)
    for number in task[chosen].unique().tolist():
        known = [i for i, name in enumerate(texts.text_tasks) if name == tasks[number]]
        if not known:
            raise ValueError(f"{bank} holds states of {tasks[number]}; the policy knows {', '.join(texts.tasks)}")
        here = (task[chosen] == number).nonzero().flatten()
        spoken = torch.tensor(known)[torch.randint(len(known), (len(here),), generator=rng)]
        embeddings[here] = texts.embeddings[spoken]
    return features[chosen], embeddings, policy.flow.noise(rows, rng)


@dataclass(frozen=True)
class PreparedRuntime:
    """One runtime twice."""

    single: Runtime
    """For one row, with one thread."""
    fleet: Runtime
    """For a fleet's rows, with all threads."""


def prepare_runtime(name: str, policy: PolicyCheckpoint, files: OnnxFiles, fleet: int) -> PreparedRuntime:
    """``policy`` by the runtime ``name``, ready for one row and for ``fleet`` rows; ``compile`` takes minutes."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = build_runtime(name, policy, files, threads=1, batch=1)
    finally:
        torch.set_num_threads(threads)
    return PreparedRuntime(single, build_runtime(name, policy, files, threads=threads, batch=fleet))


def compare_runtimes(
    policy: PolicyCheckpoint,
    runtimes: Sequence[PreparedRuntime],
    inputs: PolicyInputs,
    on_step: Callable[[int], None],
) -> list[RuntimeRow]:
    """Time ``runtimes`` on ``inputs``; all of them take turns within every repetition, so that noise is shared.

    Args:
        policy: What all of them run.
        runtimes: Made by ``prepare_runtime``.
        inputs: A fleet's; single rows are taken from it in turn.
        on_step: Called with the number of repetitions done, ``STEPS`` at the end.
    """
    threads, fleet = torch.get_num_threads(), len(inputs[0])
    rows = [_row(inputs, i) for i in range(min(fleet, SINGLE_REPETITIONS))]
    fleets = [runtime.fleet for runtime in runtimes]
    try:
        torch.set_num_threads(1)
        single = [runtime.single for runtime in runtimes]
        single_ms, single_cpu_ms = _times(single, rows, SINGLE_REPETITIONS, on_step)
        torch.set_num_threads(threads)
        done = WARM_UP + SINGLE_REPETITIONS
        fleet_ms, fleet_cpu_ms = _times(fleets, [inputs], FLEET_REPETITIONS, lambda step: on_step(done + step))
        reference = policy.flow.generate(policy.encoder(inputs[0], inputs[1]), inputs[2])
        return [
            RuntimeRow(
                runtime.name,
                runtime.device,
                float(np.percentile(single_ms[:, i], 50)),
                float(np.percentile(single_ms[:, i], 95)),
                float(np.median(single_cpu_ms[:, i])),
                float(np.median(fleet_ms[:, i])),
                float(np.median(fleet_cpu_ms[:, i])),
                runtime.model_bytes,
                action_difference(runtime.run(*inputs), reference),
                runtime.note,
            )
            for i, runtime in enumerate(fleets)
        ]
    finally:
        torch.set_num_threads(threads)


def _row(inputs: PolicyInputs, i: int) -> PolicyInputs:
    features, instruction, noise = inputs
    return features[i : i + 1].clone(), instruction[i : i + 1].clone(), noise[i : i + 1].clone()


def _times(
    runtimes: Sequence[Runtime],
    batches: Sequence[PolicyInputs],
    repetitions: int,
    on_step: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds (repetitions, len(runtimes)) of one call each: by the clock, and of the process's processor time."""
    taken = np.zeros((2, WARM_UP + repetitions, len(runtimes)))
    for step in range(WARM_UP + repetitions):
        inputs = batches[step % len(batches)]
        for i, runtime in enumerate(runtimes):
            cpu, start = time.process_time(), time.perf_counter()
            runtime.run(*inputs)
            wait_for(inputs[0].device)
            taken[:, step, i] = time.perf_counter() - start, time.process_time() - cpu
        on_step(step + 1)
    return 1000.0 * taken[0, WARM_UP:], 1000.0 * taken[1, WARM_UP:]


def runtime_table(rows: Sequence[RuntimeRow], fleet: int, device: str) -> str:
    """``rows`` as text; speed is the first one's time over the row's.

    By processor time on the CPU, where other work on the machine disturbs it less; by the clock on a GPU, whose work
    costs the process none.
    """
    by_clock = torch.device(device).type == "cuda"
    speed = "speed by the clock" if by_clock else "speed by CPU time"
    first = rows[0]
    columns: dict[str, list[str]] = {
        "runtime": [row.runtime for row in rows],
        "device": [row.device for row in rows],
        "batch 1: p50 / p95, ms": [f"{row.p50_ms:.2f} / {row.p95_ms:.2f}" for row in rows],
        "batch 1: CPU ms": [f"{row.cpu_ms:.2f}" for row in rows],
        f"batch 1: {speed}": [
            f"x{first.p50_ms / row.p50_ms if by_clock else first.cpu_ms / row.cpu_ms:.2f}" for row in rows
        ],
        f"batch {fleet}: p50, ms": [f"{row.fleet_ms:.1f}" for row in rows],
        f"batch {fleet}: CPU ms": [f"{row.fleet_cpu_ms:.1f}" for row in rows],
        f"batch {fleet}: {speed}": [
            f"x{first.fleet_ms / row.fleet_ms if by_clock else first.fleet_cpu_ms / row.fleet_cpu_ms:.2f}"
            for row in rows
        ],
        "MB": [f"{row.model_bytes / 1e6:.2f}" for row in rows],
        "action off by, at most": [
            f"{row.difference.displacement_m:.1e} m, {row.difference.rotation_rad:.1e} rad, {row.difference.grip:.1e}"
            for row in rows
        ],
    }
    shown = {head: cells for head, cells in columns.items() if not (by_clock and head.endswith("CPU ms"))}
    return tabulate(shown, headers="keys", disable_numparse=True)
