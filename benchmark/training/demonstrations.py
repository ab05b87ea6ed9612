"""Demonstrations of every task of a run: recorded where missing, loaded, refused if not for training."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.policy.demonstration_set import load_demonstrations
from flow_rag_vla.benchmark.episodes.seeds import require_split
from flow_rag_vla.benchmark.training.subprocesses import run_script
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.facts.contact_parameters import world_digest

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet
    from flow_rag_vla.benchmark.training.interruption import Interruption
    from flow_rag_vla.benchmark.training.part_times import PartTimes
    from flow_rag_vla.benchmark.training.settings import TrainSettings


def demonstration_folders(settings: TrainSettings) -> dict[str, Path]:
    """Task to the folder of its demonstrations."""
    return {task: Path(settings.demonstrations) / task for task in settings.tasks}


def collect_missing(
    settings: TrainSettings,
    scripts: Path,
    interruption: Interruption,
    times: PartTimes,
    say: Callable[[str], None],
) -> None:
    """Record demonstrations of the tasks that have none; a folder appears when it is complete.

    Raises:
        SubprocessError: recording failed.
        KeyboardInterrupt: it was stopped.
    """
    for task, folder in demonstration_folders(settings).items():
        if any(folder.glob("*.safetensors")):
            continue
        partial = folder.with_name(f".collecting-{task}-{os.getpid()}")
        say(f"recording {settings.collection.num_demonstrations} demonstrations of {task} in {folder}")
        arguments = {
            "task": get_task(task).name,
            "num_demonstrations": settings.collection.num_demonstrations,
            "num_envs": settings.collection.num_envs,
            "seed": settings.collection.seed,
            "out": partial,
            "physics": settings.physics,
            "device": settings.device,
        }
        # What a killed process of this number left, if anything; a failed recording stays to be looked at.
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with times.part(f"collect {task}"):
                flags = [f"--{name}={value}" for name, value in arguments.items()]
                run_script(scripts / "collect_demos.py", flags, interruption)
        except KeyboardInterrupt:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if folder.is_dir():  # without demonstrations, as seen above
            shutil.rmtree(folder)
        (partial / task).rename(folder)
        shutil.rmtree(partial)
        say(f"demonstrations of {task} are complete in {folder}")


def load_for_training(settings: TrainSettings) -> DemonstrationSet:
    """All demonstrations of the run's tasks.

    Raises:
        ValueError: there are none, some were not recorded on training layouts, or in a simulator with other contacts
            or limits of commands.
    """
    data = load_demonstrations(list(demonstration_folders(settings).values()))
    if not data.layout_seeds:
        raise ValueError(
            f"{settings.demonstrations}: the demonstrations do not say on which layouts they were recorded"
        )
    require_split(data.layout_seeds, "train")
    if others := data.contacts - {world_digest()}:
        raise ValueError(
            f"{settings.demonstrations}: recorded with other contacts or limits of commands "
            f"({', '.join(sorted(others))}) than the simulator has now ({world_digest()}); delete them to have them "
            "recorded again, or name another folder"
        )
    return data
