"""The tasks that exist, by gym id or short name.

Every module of this folder with a ``TASK`` is found by itself.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import gymnasium as gym

from flow_rag_vla.tasks import catalogue
from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.contract import UnknownNameError

_PACKAGE = "flow_rag_vla.tasks"
_FIRST = ("pick_place", "stack", "lift", "bin_transport")
"""Modules in the order in which their tasks are listed; others follow by name."""

_TASKS: dict[str, Task] = {}


def register_task(task: Task) -> Task:
    """Make ``task`` known, here and as a gym id; loads no simulator.

    Raises:
        ValueError: its gym id or short name is taken, or the id does not read ``FlowRAG-Name-Franka``.
    """
    if not re.fullmatch(r"FlowRAG-\w+-Franka", task.name):
        raise ValueError(f"task {task.name!r}: expected a gym id like FlowRAG-Name-Franka")
    for known in _TASKS.values():
        if task.name == known.name or task.slug == known.slug:
            raise ValueError(f"task {task.name!r} ({task.slug}) is already registered")
    _TASKS[task.name] = task
    gym.register(
        id=task.name,
        entry_point=f"{_PACKAGE}.env.manipulation_env:ManipulationEnv",
        disable_env_checker=True,
        kwargs={
            "env_cfg_entry_point": f"{_PACKAGE}.env.env_cfg:{task.class_name}EnvCfg",
            "rsl_rl_cfg_entry_point": f"{_PACKAGE}.rl.runner_cfg:{task.class_name}RunnerCfg",
            "default_agent": "rsl_rl",
        },
    )
    return task


def all_tasks() -> tuple[Task, ...]:
    """Every registered task, in order of registration."""
    return tuple(_TASKS.values())


def task_names() -> tuple[str, ...]:
    """Gym ids of all tasks."""
    return tuple(_TASKS)


def get_task(name: str) -> Task:
    """The task whose gym id, short name or alias is ``name``.

    Raises:
        UnknownNameError: naming the tasks that exist.
    """
    for task in _TASKS.values():
        if name in (task.name, task.slug, *task.aliases):
            return task
    known = ", ".join(f"{task.slug} ({task.name})" for task in all_tasks())
    raise UnknownNameError(f"unknown task {name!r}; available: {known}")


def task_of_class(name: str, suffix: str) -> Task:
    """The task of the configuration class called ``name``, which ends with ``suffix``.

    Raises:
        AttributeError: no task has such a class, as a module says of a name that it does not hold.
    """
    for task in all_tasks():
        if name == f"{task.class_name}{suffix}":
            return task
    raise AttributeError(f"no task has a class {name!r}")


def _found_tasks() -> Iterator[Task]:
    others = sorted({module.name for module in pkgutil.iter_modules(catalogue.__path__)} - set(_FIRST))
    for name in (*_FIRST, *others):
        if name != "registry":
            module = importlib.import_module(f"{catalogue.__name__}.{name}")
            if isinstance(task := getattr(module, "TASK", None), Task):
                yield task


for _task in _found_tasks():
    register_task(_task)
