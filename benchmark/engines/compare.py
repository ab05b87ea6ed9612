"""From a request to outcomes: what is planned, what earlier files hold, and the rest played, engine by engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.benchmark.certification.certify import engine_versions
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.command.provenance import code_state
from flow_rag_vla.benchmark.engines.cells import Assignment, CellKey, plan_cells
from flow_rag_vla.benchmark.engines.outcomes import PlayedCell, World
from flow_rag_vla.benchmark.engines.play import fleet_size, make_actor, play_cells
from flow_rag_vla.benchmark.engines.reuse import made_by_other_code, taken
from flow_rag_vla.benchmark.episodes.actors import load_policy
from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
from flow_rag_vla.tasks.contract import MAX_STEPS
from flow_rag_vla.tasks.env.make import make_fleet, resolve_device
from flow_rag_vla.tasks.facts.contact_parameters import world_description

if TYPE_CHECKING:
    from typing import TextIO

NATIVE = "newton_mujoco"
"""The engine that exists on the CPU alone: on CUDA its preset would be the other engine."""


@dataclass(frozen=True)
class CompareRequest:
    """Who is to play what on which engines."""

    task: str
    """A name, or ``all``."""
    fault: Sequence[str]
    """Names, ``none`` or ``all``."""
    arms: Sequence[str]
    n: int
    """Episodes of a cell."""
    physics: Sequence[str]
    num_envs: int
    """Largest fleet."""
    seed: int
    checkpoint: str
    device: str
    """Of all engines but ``NATIVE``."""
    controls: bool
    """Play the harmless twins of avoidable faults, too."""
    reuse: Sequence[Path] = ()
    """Files to take outcomes from."""
    json: Path | None = None
    """Where outcomes will be written."""


def world_here() -> World:
    """What outcomes of this program hang on."""
    world = {name: value for part in world_description().values() for name, value in part.items()}
    return World.of(world, engine_versions())


def plan(request: CompareRequest) -> list[Assignment]:
    """Everything that ``request`` asks for: engine by engine, task by task, arm by arm.

    Raises:
        UnknownNameError: an unknown task, arm, or fault of these tasks.
        ValueError: a checkpoint that cannot be read or does not know a task.
    """
    tasks = all_tasks() if request.task == "all" else (get_task(request.task),)
    arms = [get_arm(name) for name in request.arms]
    cells = plan_cells(tasks, request.fault, request.n, request.seed, controls=request.controls)
    hashes = dict.fromkeys(task.slug for task in tasks)
    if any(arm.has_policy for arm in arms):
        hashes = {task.slug: load_policy(request.checkpoint, task.name).sha256 for task in tasks}
    return [
        Assignment(physics, arm.name, hashes[task.slug] if arm.has_policy else None, cell)
        for physics in request.physics
        for task in tasks
        for arm in arms
        for cell in cells
        if cell.task == task.slug
    ]


def outcomes(
    request: CompareRequest, console: TextIO, on_played: Callable[[list[PlayedCell]], None]
) -> list[PlayedCell]:
    """All cells that ``request`` asks for, in the order of ``plan``.

    A process holds one simulation at a time, so engines play one after the other.

    Args:
        request: Who plays what.
        console: Shows progress.
        on_played: Called with all outcomes so far whenever an arm has played its cells of a task.

    Raises:
        ValueError: as ``plan``, ``taken`` and ``make_fleet``; nothing has been played then.
    """
    assignments = plan(request)
    found = taken(request.reuse, world_here(), assignments, out=request.json)
    for line in made_by_other_code(request.reuse, code_state()):
        console.write(f"note: {line}\n")
    played: dict[CellKey, PlayedCell] = dict(found)

    def so_far() -> list[PlayedCell]:
        return [played[assignment.key] for assignment in assignments if assignment.key in played]

    def keep(cells: list[PlayedCell]) -> None:
        played.update({cell.key: cell for cell in cells})
        on_played(so_far())

    missing = [assignment for assignment in assignments if assignment.key not in found]
    for _, group in itertools.groupby(missing, lambda a: (a.physics, a.cell.task)):
        _play(request, list(group), console, keep)
    return so_far()


def _play(
    request: CompareRequest,
    assignments: list[Assignment],
    console: TextIO,
    on_arm: Callable[[list[PlayedCell]], None],
) -> None:
    """Play ``assignments``, which are those of one engine and task, arm by arm in one fleet."""
    physics, task = assignments[0].physics, get_task(assignments[0].cell.task)
    by_arm = {arm: list(group) for arm, group in itertools.groupby(assignments, lambda a: a.arm)}
    episodes = {arm: request.n * len(group) for arm, group in by_arm.items()}
    device = "cpu" if physics == NATIVE else resolve_device(request.device)
    num_envs = fleet_size(max(episodes.values()), request.num_envs)
    fleet = make_fleet(task.name, num_envs, physics=physics, device=device, max_steps=MAX_STEPS)
    with closing(fleet) as env, Progress(sum(episodes.values()), "episodes", console) as progress:
        before = 0
        for arm, group in by_arm.items():

            def show(ended: int, before: int = before, note: str = f"{physics}, {task.slug}, {arm}") -> None:
                progress.update(before + ended, note)

            policy = load_policy(request.checkpoint, task.name, device) if get_arm(arm).has_policy else None
            on_arm(play_cells(env, make_actor(get_arm(arm), env, policy), group, show))
            before += episodes[arm]
