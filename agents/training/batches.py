"""Which steps of the demonstrations make a batch: as many of one task as of another, and never the held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet

HELD_OUT_PER_TASK = 2048
"""Steps at most whose loss is measured, a task."""


@dataclass(frozen=True)
class TrainingBatch:
    """Demonstrated states with the chunks that followed them."""

    features: torch.Tensor
    """(batch, NUM_POLICY_FEATURES)."""
    instruction: torch.Tensor
    """(batch, 384) sentence embeddings."""
    chunk: torch.Tensor
    """(batch, horizon, 7), units of the action."""


@dataclass(frozen=True)
class Split:
    """Steps where chunks may start, of one task; no demonstration is in both lists."""

    train: torch.Tensor
    held_out: torch.Tensor


def split_starts(data: DemonstrationSet, horizon: int, held_out: float, seed: int) -> dict[str, Split]:
    """For each task, the starts of its demonstrations, a share ``held_out`` of the demonstrations put aside.

    Raises:
        ValueError: a task has no demonstration that is as long, undisturbed, as a chunk.
    """
    rng = torch.Generator().manual_seed(seed)
    starts = data.starts(horizon)
    splits = {}
    for number, task in enumerate(data.tasks):
        own = starts[data.task[starts] == number]
        if len(own) == 0:
            raise ValueError(f"{task}: no demonstration has {horizon} undisturbed steps in a row; record more")
        episodes = data.last_step[own].unique()
        order = torch.randperm(len(episodes), generator=rng)
        aside = episodes[order[: min(round(held_out * len(episodes)), len(episodes) - 1)]]
        mask = torch.isin(data.last_step[own], aside)
        splits[task] = Split(own[~mask], own[mask])
    return splits


def held_out_steps(split: Split) -> torch.Tensor:
    """Evenly spaced steps (at most ``HELD_OUT_PER_TASK``) of the held-out demonstrations."""
    count = min(len(split.held_out), HELD_OUT_PER_TASK)
    return split.held_out[torch.arange(count) * len(split.held_out) // max(count, 1)]


class BalancedSampler:
    """Draws steps so that every batch holds each task equally often, up to one."""

    def __init__(self, splits: dict[str, Split]) -> None:
        """Draw from the ``train`` steps of ``splits``."""
        lists = [split.train for split in splits.values()]
        self._steps = torch.cat(lists)
        self._count = torch.tensor([len(steps) for steps in lists])
        self._first = self._count.cumsum(0) - self._count

    def draw(self, batch_size: int, rng: torch.Generator) -> torch.Tensor:
        """Steps (batch_size,)."""
        num_tasks = len(self._count)
        # Where the batch cannot be divided evenly, no task is always the one left short.
        turn = torch.randint(num_tasks, (1,), generator=rng)
        task = (torch.arange(batch_size) + turn) % num_tasks
        # Double precision, or the last of many steps would never be drawn.
        within = (torch.rand(batch_size, generator=rng, dtype=torch.float64) * self._count[task]).long()
        return self._steps[self._first[task] + within]


def make_batch(data: DemonstrationSet, steps: torch.Tensor, horizon: int, device: str) -> TrainingBatch:
    """The batch that ``steps`` (batch,) begin."""
    instruction = data.instruction_embeddings[data.instruction[steps]]
    return TrainingBatch(
        data.features[steps].to(device), instruction.to(device), data.chunks(steps, horizon).to(device)
    )
