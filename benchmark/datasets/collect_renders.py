"""Collects labelled camera pictures: expert episodes on training seeds, looked at every few control steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.seeds import require_split, seed_block
from flow_rag_vla.tasks.assets.appearance import random_appearance
from flow_rag_vla.tasks.datasets.demonstrations import demonstration_plan, demonstration_scenarios
from flow_rag_vla.tasks.env.play import play
from flow_rag_vla.tasks.expert.scripted_expert import ScriptedExpert
from flow_rag_vla.tasks.facts.randomness import keyed_generator

if TYPE_CHECKING:
    from typing import TextIO

    import numpy as np

    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

EVERY_STEPS = 11
"""Control steps between two pictures of an episode; the first is taken before the robot moves."""

FIELDS: tuple[str, ...] = (
    "ee_pos_b", "ee_quat_b", "gripper_width_m", "grip_force_n", "previous_action",
    "object_pos_b", "object_quat_b", "object_size_m", "goal_pos_b",
)  # fmt: skip
"""What is stored beside each picture: what the robot feels, and what is to be seen."""


def collect_renders(
    fleet: Fleet, task: str, num_pictures: int, seed: int, split: str, out: Path, console: TextIO
) -> int:
    """Write at least ``num_pictures`` randomised pictures of ``task`` to ``out/*.safetensors``; returns how many.

    Args:
        fleet: A fleet with a camera.
        task: Short name, part of the files' names.
        num_pictures: How many are wanted.
        seed: Names the block of layouts.
        split: ``train`` to learn from, ``development`` to measure with.
        out: A folder.
        console: Where progress goes.

    Raises:
        ValueError: the block holds too few layouts, or the evaluation split is asked for.
    """
    require_split(list(seed_block(split, seed, 1)), ("train", "development"))
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{task}-*.safetensors"):
        old.unlink()
    taken, first = 0, 0
    with Progress(num_pictures, "pictures", console) as progress:
        while taken < num_pictures:
            layouts = list(seed_block(split, seed, first + fleet.num_envs))[first:]
            rows = _one_batch(fleet, task, layouts)
            save_file(rows, out / f"{task}-{first:06d}.safetensors")
            first += fleet.num_envs
            taken += len(rows["rgb"])
            progress.update(min(taken, num_pictures))
    return taken


def _one_batch(fleet: Fleet, task: str, layout_seeds: list[int]) -> dict[str, torch.Tensor]:
    device = str(fleet.device)
    fleet.load(demonstration_scenarios(task, layout_seeds), [0] * fleet.num_envs)
    expert = ScriptedExpert(fleet.num_envs, device)
    expert.reset(torch.arange(fleet.num_envs, device=device), demonstration_plan(task, layout_seeds, device))
    rng = keyed_generator("appearance", layout_seeds[0])
    seeds = torch.tensor(layout_seeds, device=device)
    looks: list[dict[str, torch.Tensor]] = []

    def act(observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        if step % EVERY_STEPS == 0:
            looks.append(_look(fleet, rng, running, seeds))
        return expert.act(observation)

    play(fleet, act)
    return {name: torch.cat([look[name] for look in looks]).cpu().contiguous() for name in looks[0]}


def _look(
    fleet: Fleet, rng: np.random.Generator, rows: torch.Tensor, layout_seeds: torch.Tensor
) -> dict[str, torch.Tensor]:
    appearance = random_appearance(rng, fleet.observe().object_rgb)
    seen: Observation = fleet.observe(images=True, appearance=appearance)
    if seen.rgb is None:
        raise RuntimeError("no pictures were taken")
    values = {name: getattr(seen, name) for name in FIELDS}
    # A camera knows where things are relative to itself: displaced by d, it reports them d too near.
    values["camera_shift_m"] = appearance.camera_shift_m
    values["object_rgb"] = appearance.object_rgb
    values["rgb"] = seen.rgb
    values["layout_seed"] = layout_seeds
    values["goal_shown"] = torch.full_like(rows, not fleet.task.area.goal_above_object)
    return {name: value[rows].clone() for name, value in values.items()}
