"""Success in simulation while a policy trains: ``scripts/evaluate.py`` on development layouts, a process a task."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.policy.checkpoint import save_checkpoint
from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.training.subprocesses import SubprocessError, run_script
from flow_rag_vla.tasks.catalogue.registry import get_task

if TYPE_CHECKING:
    from flow_rag_vla.agents.training.trainer import Trainer
    from flow_rag_vla.benchmark.training.interruption import Interruption
    from flow_rag_vla.benchmark.training.part_times import PartTimes
    from flow_rag_vla.benchmark.training.settings import TrainSettings

NOT_MEASURED: dict[str, Any] = {"k": None, "n": 0, "rate": None, "ci95": None}


class SimulatedValidation:
    """Measures the averaged policy on every task, and keeps the best one."""

    def __init__(
        self,
        settings: TrainSettings,
        folder: Path,
        best: Path,
        scripts: Path,
        interruption: Interruption,
        times: PartTimes,
        say: Callable[[str], None],
    ) -> None:
        """Work in ``folder``; keep the policy with the highest success, averaged over tasks, at ``best``."""
        self._settings, self._folder, self._best, self._scripts = settings, folder, best, scripts
        self._interruption, self._times, self._say = interruption, times, say

    def __call__(self, trainer: Trainer) -> dict[str, Any]:
        """Success by task and their mean, None where an evaluation failed.

        Raises:
            KeyboardInterrupt: it was stopped.
        """
        episodes = f"{self._settings.validation.num_envs} development layouts of each task"
        self._say(f"iteration {trainer.iteration}: measuring success on {episodes}")
        self._folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self._folder / "policy.safetensors"
        save_checkpoint(checkpoint, trainer.checkpoint())
        found: dict[str, dict[str, Any]] = {}
        for task in self._settings.tasks:
            with self._times.part(f"validate {task}"):
                found[get_task(task).name] = self._success(checkpoint, task, trainer)
        rates = [value["rate"] for value in found.values() if value["rate"] is not None]
        success = sum(rates) / len(rates) if len(rates) == len(found) else None
        before = [result["success"] for result in trainer.results if result["success"] is not None]
        # Of equals the later one: its weights are the average of more.
        if success is not None and success >= max(before, default=0.0):
            shutil.copy(checkpoint, partial := self._best.with_suffix(".partial"))
            partial.replace(self._best)
        counts = ", ".join(
            f"{task} {value['k']}/{value['n']}" if value["n"] else f"{task} not measured"
            for task, value in zip(self._settings.tasks, found.values(), strict=True)
        )
        self._say(f"iteration {trainer.iteration}: success {counts}")
        return {"iteration": trainer.iteration, "success": success, "tasks": found}

    def _success(self, checkpoint: Path, task: str, trainer: Trainer) -> dict[str, Any]:
        cfg = self._settings.validation
        stem = f"{trainer.iteration:09d}-{task}"
        result, log = self._folder / f"{stem}.json", self._folder / f"{stem}.log"
        arguments = {
            "checkpoint": checkpoint,
            "task": get_task(task).name,
            "num_envs": cfg.num_envs,
            "seed": cfg.seed,
            "split": "development",
            "ode_steps": trainer.network.ode_steps,
            "execute": min(cfg.execute, trainer.network.horizon),
            "physics": self._settings.physics,
            "device": self._settings.device,
            "json": result,
            "log": self._folder / f"{stem}-simulator.log",
        }
        result.unlink(missing_ok=True)
        try:
            flags = [f"--{name}={value}" for name, value in arguments.items()]
            run_script(self._scripts / "evaluate.py", flags, self._interruption, log)
            return read_json_object(result)["success"]
        except (SubprocessError, OSError, ValueError, KeyError) as error:
            self._say(f"{task} was not validated at iteration {trainer.iteration}: {error}")
            return NOT_MEASURED
