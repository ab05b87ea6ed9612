"""Where the scalars of a run go: always a TensorBoard log in the run's folder, and Weights & Biases if asked for."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

LOGGERS: tuple[str, ...] = ("tensorboard", "wandb")

WANDB_PROJECT = "flow-rag-vla"


class ScalarLogger(Protocol):
    """Takes numbers by name and iteration."""

    def log(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """Note ``scalars`` at ``iteration``."""
        ...

    def flush(self) -> None:
        """Put what was noted on disk."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


class TensorBoardLogger:
    """Event files in ``folder``; what an interrupted run noted past ``first_iteration`` is overruled."""

    def __init__(self, folder: Path, first_iteration: int) -> None:
        """Begin or continue a log."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_iteration if first_iteration else None)

    def log(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """Note ``scalars`` at ``iteration``."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, iteration)

    def flush(self) -> None:
        """Put what was noted on disk."""
        self._writer.flush()

    def close(self) -> None:
        """Nothing follows."""
        self._writer.close()


class WandbLogger:
    """A run of Weights & Biases beside the TensorBoard log; offline unless the user is logged in.

    A tracker that fails costs the run a warning, never the training.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Begin the run, or continue the one that ``folder`` knows of.

        Raises:
            ValueError: the package is not installed.
        """
        require_logger("wandb")
        wandb = importlib.import_module("wandb")

        self._say = say
        self._errors = (wandb.errors.Error, OSError)
        self._run = None
        try:
            mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")
            self._run = wandb.init(
                project=WANDB_PROJECT,
                name=name,
                id=_run_id(folder / "wandb_id.txt"),
                dir=str(folder),
                config=dict(settings),
                mode=mode,
                resume="allow",
            )
        except self._errors as error:
            self._give_up(error)

    def log(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """Note ``scalars`` at ``iteration``."""
        if self._run is not None:
            try:
                self._run.log(dict(scalars), step=iteration)
            except self._errors as error:
                self._give_up(error)

    def flush(self) -> None:
        """Its own process writes as it goes."""

    def close(self) -> None:
        """Nothing follows."""
        if self._run is not None:
            try:
                self._run.finish()
            except self._errors as error:
                self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._run = None
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        self._say(f"Weights & Biases failed ({reason}); training goes on, the TensorBoard log is complete")


class SeveralLoggers:
    """Passes everything on to each of ``loggers``."""

    def __init__(self, loggers: list[ScalarLogger]) -> None:
        """Pass on to ``loggers``."""
        self._loggers = loggers

    def log(self, iteration: int, scalars: Mapping[str, float]) -> None:
        """Note ``scalars`` at ``iteration``."""
        for logger in self._loggers:
            logger.log(iteration, scalars)

    def flush(self) -> None:
        """Put what was noted on disk."""
        for logger in self._loggers:
            logger.flush()

    def close(self) -> None:
        """Nothing follows."""
        for logger in self._loggers:
            logger.close()


def require_logger(name: str) -> None:
    """Refuse a logger that is unknown or whose package is missing.

    Raises:
        ValueError: one line with what to do.
    """
    if name not in LOGGERS:
        raise ValueError(f"unknown logger {name!r}; available: {', '.join(LOGGERS)}")
    if name == "wandb" and importlib.util.find_spec("wandb") is None:
        raise ValueError("logger=wandb needs the package wandb: ./isaaclab.sh -p -m pip install -e '.[wandb]'")


def _run_id(path: Path) -> str:
    if not path.exists():
        path.write_text(secrets.token_hex(4) + "\n")
    return path.read_text().strip()
