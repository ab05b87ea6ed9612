"""The order of things in training: validate where it is due, step, note, save; stop where it is asked to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_rag_vla.agents.training.loggers import ScalarLogger
    from flow_rag_vla.agents.training.state import StateFolder
    from flow_rag_vla.agents.training.trainer import Trainer

Validate = Callable[["Trainer"], dict[str, Any]]
"""Success in simulation: ``{"iteration", "success", "tasks": {gym id: {"k", "n", "rate", "ci95"}}}``, or None each."""


def _never() -> bool:
    return False


def _nobody(iteration: int, loss: float) -> None:
    del iteration, loss


@dataclass
class Surroundings:
    """What a run is surrounded by; none of it changes the weights."""

    states: StateFolder
    logger: ScalarLogger
    validate: Validate | None = None
    validate_every: int = 0
    """Iterations between validations in simulation, the last iteration always included; 0 for none."""
    on_iteration: Callable[[int, float], None] = _nobody
    """Hears the iterations done and the running loss."""
    should_stop: Callable[[], bool] = _never
    """Asked after each iteration; True saves the state and ends the run."""


def train(trainer: Trainer, around: Surroundings) -> bool:
    """Train to the last iteration; returns whether it got there.

    Raises:
        TrainingDivergedError: the loss is not finite; the last saved state stays.
    """
    cfg = trainer.cfg
    while True:
        if _validation_is_due(trainer, around):
            # Saved first: a validation takes a while, and what it finds is part of the state.
            around.states.save(trainer.iteration, trainer.state())
            _validate(trainer, around)
            around.states.save(trainer.iteration, trainer.state())
        if trainer.finished:
            return True
        step = trainer.step()
        if trainer.iteration % cfg.log_every == 0 or trainer.finished:
            scalars = {
                "train/loss": trainer.running_loss,
                "train/gradient_norm": step.gradient_norm,
                "train/learning_rate": step.learning_rate,
            }
            around.logger.log(trainer.iteration, scalars)
        if trainer.iteration % cfg.held_out_every == 0 or trainer.finished:
            losses = trainer.held_out_losses()
            around.logger.log(trainer.iteration, {f"validation/loss/{task}": loss for task, loss in losses.items()})
            if losses:
                around.logger.log(trainer.iteration, {"validation/loss": sum(losses.values()) / len(losses)})
        around.on_iteration(trainer.iteration, trainer.running_loss)
        stop = around.should_stop()
        if trainer.iteration % cfg.save_every == 0 or trainer.finished or stop:
            around.logger.flush()
            around.states.save(trainer.iteration, trainer.state())
        if stop:
            return False


def _validation_is_due(trainer: Trainer, around: Surroundings) -> bool:
    if around.validate is None or around.validate_every < 1 or trainer.iteration == 0:
        return False
    due = trainer.finished or trainer.iteration % around.validate_every == 0
    return due and all(result["iteration"] != trainer.iteration for result in trainer.results)


def _validate(trainer: Trainer, around: Surroundings) -> None:
    if around.validate is None:
        return
    result = around.validate(trainer)
    trainer.results.append(result)
    scalars = {
        f"validation/success/{task}": found["rate"]
        for task, found in result["tasks"].items()
        if found["rate"] is not None
    }
    if result["success"] is not None:
        scalars["validation/success"] = result["success"]
    around.logger.log(trainer.iteration, scalars)
    around.logger.flush()
