"""The settings of a training run: presets of plain dataclasses, composed by Hydra from ``key=value`` overrides."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flow_rag_vla.agents.training.cfg import NetworkCfg, TrainingCfg
from flow_rag_vla.agents.training.loggers import require_logger
from flow_rag_vla.benchmark.command.composition import compose_dataclass
from flow_rag_vla.benchmark.command.ranges import refuse_settings
from flow_rag_vla.benchmark.episodes.seeds import seed_block

ALL_TASKS = "all"


@dataclass
class CollectionCfg:
    """Demonstrations that are recorded where a task has none."""

    num_demonstrations: int = 5120
    """A task."""
    num_envs: int = 1024
    seed: int = 0
    """Names a block of training layouts."""


@dataclass
class ValidationCfg:
    """Success in simulation during training, on development layouts."""

    every: int = 3000
    """Iterations between validations, the last iteration always included; 0 for none."""
    num_envs: int = 64
    """Episodes a task."""
    seed: int = 0
    """Names a block of development layouts."""
    execute: int = 8
    """Actions of a chunk that run before the next decision, the horizon at most."""


@dataclass
class TrainSettings:
    """What ``scripts/train.py`` does."""

    preset: str = "default"
    name: str = ""
    """Of the run's folder in ``out``; the preset's by default."""
    out: str = "outputs/train"
    tasks: list[str] = field(default_factory=lambda: [ALL_TASKS])
    """Short names or gym ids; ``checked`` puts every task's short name in the place of ``all``."""
    demonstrations: str = "demonstrations"
    """Folder that holds one folder a task."""
    bank_size: int = 56_000
    """Demonstrated states kept for ``rag_only``."""
    logger: str = "tensorboard"
    device: str = "auto"
    physics: str = "auto"
    network: NetworkCfg = field(default_factory=NetworkCfg)
    training: TrainingCfg = field(default_factory=TrainingCfg)
    collection: CollectionCfg = field(default_factory=CollectionCfg)
    validation: ValidationCfg = field(default_factory=ValidationCfg)


def _guide() -> TrainSettings:
    # A learning rate that a deep transformer without warm-up tricks bears; the guide leaves it open.
    return TrainSettings(
        preset="guide",
        network=NetworkCfg.guide(),
        training=TrainingCfg(learning_rate=1.0e-4, warmup=1000),
        validation=ValidationCfg(execute=1),
    )


def _tiny() -> TrainSettings:
    training = TrainingCfg(
        iterations=40, batch_size=8, warmup=4, held_out=0.25, held_out_every=10, log_every=5, save_every=10, threads=1
    )
    return TrainSettings(
        preset="tiny",
        network=NetworkCfg.tiny(),
        training=training,
        bank_size=100,
        collection=CollectionCfg(num_demonstrations=32, num_envs=32),
        validation=ValidationCfg(every=0, num_envs=8),
    )


PRESETS = {"default": TrainSettings, "guide": _guide, "tiny": _tiny}
"""Fast chunks; the implementation guide's network (for a GPU); seconds, for tests."""


def compose_training(overrides: Sequence[str]) -> TrainSettings:
    """Settings of the preset that ``preset=NAME`` among ``overrides`` names, with the others applied and checked.

    Raises:
        ValueError: an unknown preset, key, task or logger, or a value of the wrong type or out of range; one line.
    """
    named = [override.partition("=")[2] for override in overrides if override.startswith("preset=")]
    preset = named[-1].strip("'\"") if named else "default"
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; available: {', '.join(PRESETS)}")
    others = [override for override in overrides if not override.startswith("preset=")]
    settings = compose_dataclass(f"train_{preset}", PRESETS[preset](), others)
    return checked(settings)


def settings_from_json(values: dict[str, Any]) -> TrainSettings:
    """The settings that a run's ``config.json`` holds.

    Raises:
        ValueError: fields that do not fit; one line.
    """
    try:
        settings = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainSettings), values))
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if not isinstance(settings, TrainSettings):
        raise TypeError(f"expected TrainSettings, got {type(settings).__name__}")
    return checked(settings)


def checked(settings: TrainSettings) -> TrainSettings:
    """``settings`` with short task names and a run name.

    Raises:
        ValueError: something unknown or out of range; one line.
    """
    refuse_settings(settings)
    # Late, so that --help and typos answer at once: these bring torch.
    import torch

    from flow_rag_vla.agents.policy.flow_matching import FlowMatching
    from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task

    everything = [task.slug for task in all_tasks()]
    slugs = [everything if name == ALL_TASKS else [get_task(name).slug] for name in settings.tasks]
    settings.tasks = list(dict.fromkeys(itertools.chain.from_iterable(slugs)))
    if not settings.tasks:
        raise ValueError("tasks is empty, expected at least one task")
    if settings.out.endswith(".safetensors"):
        raise ValueError(f"out is {settings.out!r}, expected the folder that gets a folder a run")
    if any(Path(settings.demonstrations).glob("*.safetensors")):
        raise ValueError(
            f"demonstrations is {settings.demonstrations!r}, which holds demonstrations itself; "
            "expected the folder that holds one folder a task"
        )
    require_logger(settings.logger)
    settings.training.check()
    with torch.device("meta"):  # checks the sizes without the memory
        FlowMatching(settings.network.flow_cfg())
    seed_block("train", settings.collection.seed, settings.collection.num_demonstrations)
    seed_block("development", settings.validation.seed, settings.validation.num_envs)
    settings.name = settings.name or settings.preset
    if "/" in settings.name or settings.name.startswith("."):
        raise ValueError(f"name is {settings.name!r}, expected the name of a folder")
    return settings
