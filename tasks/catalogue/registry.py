"""The tasks that exist, by gym id or short name."""

from __future__ import annotations

from flow_rag_vla.tasks.catalogue import bin_transport, lift, pick_place, stack
from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.contract import UnknownNameError

_TASKS: dict[str, Task] = {}


def register_task(task: Task) -> Task:
    """Make ``task`` known.

    Raises:
        ValueError: its gym id or short name is taken.
    """
    for known in _TASKS.values():
        if task.name == known.name or task.slug == known.slug:
            raise ValueError(f"task {task.name!r} ({task.slug}) is already registered")
    _TASKS[task.name] = task
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


for _module in (pick_place, stack, lift, bin_transport):
    register_task(_module.TASK)
