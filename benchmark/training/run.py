"""A training run in its folder: begun, interrupted, resumed, finished."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from flow_rag_vla.agents.arms.catalogue import RAG_ONLY
from flow_rag_vla.agents.policy.checkpoint import save_checkpoint
from flow_rag_vla.agents.policy.demonstration_bank import bank_path, save_bank
from flow_rag_vla.agents.training.loggers import ScalarLogger, SeveralLoggers, TensorBoardLogger, WandbLogger
from flow_rag_vla.agents.training.loop import Surroundings, train
from flow_rag_vla.agents.training.state import StateFolder
from flow_rag_vla.agents.training.trainer import Trainer
from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.training.curves import draw_curves
from flow_rag_vla.benchmark.training.demonstrations import collect_missing, load_for_training
from flow_rag_vla.benchmark.training.interruption import Interruption
from flow_rag_vla.benchmark.training.part_times import PartTimes
from flow_rag_vla.benchmark.training.settings import TrainSettings, settings_from_json
from flow_rag_vla.benchmark.training.validation import SimulatedValidation
from flow_rag_vla.tasks.env.make import resolve_device

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.demonstration_set import DemonstrationSet

CONFIG = "config.json"


def print_above_bars(line: str) -> None:
    """Print a line above whatever bar is shown, at once."""
    tqdm.write(line)


class TrainingRun:
    """One run; ``finish`` does whatever is left of it."""

    def __init__(self, folder: Path, settings: TrainSettings, scripts: Path) -> None:
        """The run of ``settings`` in ``folder``, which exists."""
        self.folder, self.settings = folder, settings
        self._scripts = scripts
        self._times = PartTimes(folder / "timing.json")
        self._states = StateFolder(folder / "states")

    @property
    def policy(self) -> Path:
        """The policy after the last iteration."""
        return self.folder / "policy.safetensors"

    @property
    def best(self) -> Path:
        """The policy with the highest success in validation."""
        return self.folder / "policy_best.safetensors"

    @classmethod
    def create(cls, settings: TrainSettings, scripts: Path, *, overwrite: bool = False) -> TrainingRun:
        """A new run in ``<out>/<name>``.

        Raises:
            ValueError: the folder exists, or cannot be written.
        """
        folder = Path(settings.out) / settings.name
        if folder.exists() and any(folder.iterdir()):
            if not _holds_run(folder):
                raise ValueError(f"{folder} holds something else than a training run; give another --name")
            if not overwrite:
                raise ValueError(
                    f"{folder} holds a run; continue it with --resume {folder}, give another --name, or --overwrite it"
                )
            shutil.rmtree(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json_atomic(folder / CONFIG, asdict(settings))
        except OSError as error:
            raise ValueError(f"cannot write to {folder}: {error.strerror}") from None
        return cls(folder, settings, scripts)

    @classmethod
    def reopen(cls, folder: Path, scripts: Path) -> TrainingRun:
        """The run in ``folder``, with its own settings.

        Raises:
            ValueError: there is none, or its settings are damaged.
        """
        if not (folder / CONFIG).exists():
            raise ValueError(f"--resume {folder}: it is no training run, {CONFIG} is missing")
        try:
            settings = settings_from_json(read_json_object(folder / CONFIG))
        except ValueError as error:
            raise ValueError(f"{folder / CONFIG}: {error}") from None
        return cls(folder, settings, scripts)

    def finish(self) -> bool:
        """Record, train, validate and save what is left; returns whether every validation could be made.

        Raises:
            ValueError: unusable demonstrations, or states that do not belong to them.
            SubprocessError: demonstrations could not be recorded.
            TrainingDivergedError: the loss is not finite.
            KeyboardInterrupt: stopped; ``finish`` goes on from there.
        """
        torch.set_num_threads(self.settings.training.threads)
        with Interruption() as interruption:
            collect_missing(self.settings, self._scripts, interruption, self._times, print_above_bars)
            with self._times.part("load demonstrations"):
                data = load_for_training(self.settings)
                trainer = Trainer(
                    data, self.settings.network, self.settings.training, resolve_device(self.settings.device)
                )
                if (state := self._states.newest(print_above_bars)) is not None:
                    trainer.restore(state)
            interruption.check()
            begun = "resumed after" if trainer.iteration else "beginning at"
            print_above_bars(
                f"{len(data.actions)} steps of {len(data.tasks)} tasks, "
                f"{trainer.num_parameters / 1e6:.2f} M parameters; "
                f"{begun} iteration {trainer.iteration} of {trainer.cfg.iterations}"
            )
            with self._times.part("train"):
                done = self._train(trainer, interruption)
            if not done:
                interruption.check()
                raise KeyboardInterrupt
        self._save(trainer, data)
        return all(result["success"] is not None for result in trainer.results)

    def _train(self, trainer: Trainer, interruption: Interruption) -> bool:
        settings, first = self.settings, trainer.iteration
        validation = SimulatedValidation(
            settings, self.folder / "validation", self.best, self._scripts, interruption, self._times, print_above_bars
        )
        logger = self._logger(first)
        try:
            with Progress(trainer.cfg.iterations - first, "iterations") as progress:
                around = Surroundings(
                    states=self._states,
                    logger=logger,
                    validate=validation,
                    validate_every=settings.validation.every,
                    on_iteration=lambda i, loss: progress.update(i - first, f"loss {loss:.4f}"),
                    should_stop=interruption,
                )
                return train(trainer, around)
        finally:
            logger.close()

    def _logger(self, iteration: int) -> ScalarLogger:
        loggers: list[ScalarLogger] = [TensorBoardLogger(self.folder, iteration + 1 if iteration else 0)]
        if self.settings.logger == "wandb":
            loggers.append(WandbLogger(self.folder, self.settings.name, asdict(self.settings), print_above_bars))
        return SeveralLoggers(loggers)

    def _save(self, trainer: Trainer, data: DemonstrationSet) -> None:
        """Policy, demonstration bank, pictures; and say where they are."""
        bank = bank_path(self.policy)
        with self._times.part("save"):
            sha256 = save_checkpoint(self.policy, trainer.checkpoint())
            save_bank(bank, data, self.settings.network.horizon, self.settings.bank_size)
            if self.best.exists():
                shutil.copy(bank, bank_path(self.best))
            pictures = [self.folder / "curves.svg", self.folder / "curves.png"]
            draw_curves(self.folder, f"{self.settings.name}: {', '.join(self.settings.tasks)}", pictures)
        minutes = ", ".join(f"{part} {time.strftime('%M:%S', time.gmtime(s))}" for part, s in self._times.parts.items())
        print_above_bars(f"took {self._times.total_s / 60:.1f} minutes ({minutes})")
        print_above_bars(f"policy    {self.policy}  sha256 {sha256}")
        if self.best.exists():
            print_above_bars(f"best      {self.best}  (highest success in validation)")
        print_above_bars(f"bank      {bank}  (demonstrated states, for {RAG_ONLY.name})")
        print_above_bars(f"curves    {pictures[0]}; tensorboard --logdir {self.folder}")


def _holds_run(folder: Path) -> bool:
    """Whether ``folder`` is a training run's: other programs write files of that name, too."""
    try:
        settings_from_json(read_json_object(folder / CONFIG))
    except (ValueError, OSError):
        return False
    return True
