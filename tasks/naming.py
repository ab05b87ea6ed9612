"""Short names of tasks, for people: ``pick_place`` for ``FlowRAG-PickPlace-Franka``."""

from __future__ import annotations

import re

from flow_rag_vla.tasks.make import TASKS

_ALIASES = {"pick_and_place": "pick_place"}


def short_name(task: str) -> str:
    """The middle part of the gym id ``task``, in snake case."""
    middle = task.split("-")[1] if task.count("-") == 2 else task
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", middle).lower()


def find_task(name: str) -> str:
    """The gym id of the task called ``name``: a short name or a gym id.

    Raises:
        ValueError: naming the tasks that exist.
    """
    known = {short_name(task): task for task in TASKS}
    if name in TASKS:
        return name
    try:
        return known[_ALIASES.get(name, name)]
    except KeyError:
        raise ValueError(f"unknown task {name!r}; available: {', '.join((*known, *TASKS))}") from None
