"""Exports expert episodes on training seeds, successes and failures, as a dataset for other projects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.arm import Expert
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.seeds import first_site, require_split, seed_block
from flow_rag_vla.benchmark.episodes.told.expert_arm import ExpertAgent
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.datasets.lerobot_export import LeRobotWriter
from flow_rag_vla.tasks.datasets.recording import record_trajectories
from flow_rag_vla.tasks.env.batches import batches
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.tasks.datasets.trajectory import TrajectoryWriter
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

FORMATS: tuple[str, ...] = ("lerobot", "hdf5")


@dataclass(frozen=True)
class ExportCounts:
    """Episodes written, and those left out because the physics broke."""

    succeeded: int
    failed: int
    invalid: int


def export_scenarios(task: str, fault: str, seed: int, num_episodes: int) -> list[Scenario]:
    """The first ``num_episodes`` training scenarios of run seed ``seed``, all with ``fault`` (or ``none``).

    Raises:
        UnknownNameError: an unknown task or fault.
        ValueError: a seed or number out of range.
    """
    hazard = None if fault == "none" else get_fault(fault)
    layout_seeds = seed_block("train", seed, num_episodes)
    require_split(layout_seeds, "train")
    site = make_site(first_site("train", seed), task)
    return [site.scenario(layout_seed, hazard) for layout_seed in layout_seeds]


def make_writer(file_format: str, out: Path, task: str) -> TrajectoryWriter:
    """A writer of ``FORMATS`` for the folder ``out``; ``task`` is a gym id or short name, and HDF5 gets the gym id.

    Raises:
        ValueError: an unknown format.
    """
    if file_format == "lerobot":
        return LeRobotWriter(out)
    if file_format == "hdf5":
        # Imported late: its file handler is Isaac Lab's, which takes seconds to load.
        from flow_rag_vla.tasks.datasets.hdf5_export import Hdf5Writer

        return Hdf5Writer(out, get_task(task).name)
    raise ValueError(f"unknown format {file_format!r}; available: {', '.join(FORMATS)}")


def export(
    env: ManipulationEnv, scenarios: Sequence[Scenario], expert: Expert, writer: TrajectoryWriter, console: TextIO
) -> ExportCounts:
    """Record every scenario once, ``num_envs`` at a time, and complete the dataset.

    Args:
        env: The fleet that the scenarios' task runs in.
        scenarios: In the order in which they are written.
        expert: Who acts.
        writer: Takes the trajectories as they come.
        console: Where progress is shown.
    """
    agent = ExpertAgent(env.num_envs, str(env.device), informed=expert is Expert.INFORMED)
    succeeded = failed = invalid = 0
    with Progress(len(scenarios), "episodes", console) as progress:
        for batch in batches(scenarios, env.num_envs):
            agent.tell(batch.entries)
            agent.reset([], [])
            for trajectory in record_trajectories(env, batch.entries, lambda seen: agent.decide(seen, ~env.done)[:, 0]):
                if trajectory is None:
                    invalid += 1
                    continue
                writer.write(trajectory)
                succeeded += trajectory.labels.success
                failed += not trajectory.labels.success
            progress.update(batch.end)
    writer.close()
    return ExportCounts(succeeded, failed, invalid)
