"""Collects demonstrations: batches of expert episodes on training seeds, written as safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.seeds import require_split, seed_block
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import MAX_STEPS
from flow_rag_vla.tasks.datasets.demonstrations import (
    Episodes,
    demonstration_plan,
    demonstration_scenarios,
    record_demonstrations,
)
from flow_rag_vla.tasks.env.batches import batches
from flow_rag_vla.tasks.env.make import make_fleet
from flow_rag_vla.tasks.facts.contact_parameters import world_digest

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.tasks.env.fleet import Fleet


@dataclass(frozen=True)
class DemonstrationRequest:
    """What to record."""

    task: str
    num_demonstrations: int
    num_envs: int
    seed: int
    """Names a block of training layouts."""
    out: Path
    """Folder of the files."""
    physics: str
    device: str


def collect_task(request: DemonstrationRequest, console: TextIO) -> tuple[int, int]:
    """Build a fleet, record with it, close it; returns demonstrations recorded and, of these, kept.

    Raises:
        UnknownNameError: an unknown task.
        ValueError: an unknown preset, or seeds outside the training split.
    """
    env = make_fleet(
        request.task, request.num_envs, physics=request.physics, device=request.device, max_steps=MAX_STEPS
    )
    try:
        return collect(env, request.task, request.num_demonstrations, request.seed, request.out, console)
    finally:
        env.close()


def collect(env: Fleet, task: str, num_demonstrations: int, seed: int, out: Path, console: TextIO) -> tuple[int, int]:
    """Record ``num_demonstrations`` on the training seeds of run seed ``seed`` into ``out/*.safetensors``.

    Failed demonstrations are left out of the files.

    Returns:
        Demonstrations recorded and, of these, kept.
    """
    seeds = list(seed_block("train", seed, num_demonstrations))
    require_split(seeds, "train")
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("wave-*.safetensors"):
        old.unlink()
    kept = recorded = 0
    with Progress(num_demonstrations, f"demonstrations of {get_task(task).slug}", console) as progress:
        for number, batch in enumerate(batches(seeds, env.num_envs)):
            scenarios = demonstration_scenarios(task, batch.rows)
            episodes = record_demonstrations(env, scenarios, demonstration_plan(task, batch.rows, str(env.device)))
            good = episodes.success & (torch.arange(env.num_envs, device=env.device) < len(batch.entries))
            _save(episodes, good, scenarios[0].task, batch.rows, out / f"wave-{number:03d}.safetensors")
            kept += int(good.sum())
            recorded = batch.end
            progress.update(recorded)
    return recorded, kept


def _save(episodes: Episodes, good: torch.Tensor, task: str, layout_seeds: list[int], path: Path) -> None:
    """Steps of the ``good`` (num_envs,) episodes, one after the other, with the episode's number in each row.

    The file's metadata names the task, the contacts that the simulator had, and the instruction texts that the rows of
    ``instruction`` index.
    """
    num_steps = episodes.actions.shape[1]
    steps = torch.arange(num_steps, device=good.device)
    mask = good.unsqueeze(1) & (steps < episodes.length.unsqueeze(1))
    texts = sorted(set(episodes.instructions))
    rows = {f"observation.{name}": value[mask] for name, value in episodes.observations.items()}
    rows["action"] = episodes.actions[mask]
    rows["disturbed"] = episodes.disturbed[mask]
    rows["episode"] = mask.nonzero()[:, 0]
    rows["layout_seed"] = torch.tensor(layout_seeds, device=mask.device)[rows["episode"]]
    spoken = torch.tensor([texts.index(text) for text in episodes.instructions], device=mask.device)
    rows["instruction"] = spoken[rows["episode"]]
    metadata = {"task": task, "instructions": json.dumps(texts), "contacts": world_digest()}
    partial = path.with_suffix(".partial")
    save_file({name: value.cpu().contiguous() for name, value in rows.items()}, partial, metadata=metadata)
    partial.replace(path)
