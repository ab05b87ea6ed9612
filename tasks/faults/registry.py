"""Every fault of the suite: those of ``library``.  A scenario file's own faults stay with its sites."""

from __future__ import annotations

import importlib
import pkgutil

from flow_rag_vla.tasks.contract import FaultClass, UnknownNameError
from flow_rag_vla.tasks.faults import library
from flow_rag_vla.tasks.faults.definition.fault import Fault

_FAULTS: dict[str, Fault] = {}


def register_fault(fault: Fault) -> Fault:
    """Make ``fault`` known.

    Raises:
        ValueError: its name is taken.
    """
    if fault.name in _FAULTS:
        raise ValueError(f"fault {fault.name!r} is already registered")
    _FAULTS[fault.name] = fault
    return fault


def get_fault(name: str) -> Fault:
    """The fault called ``name``.

    Raises:
        UnknownNameError: naming the faults that exist.
    """
    try:
        return _FAULTS[name]
    except KeyError:
        raise UnknownNameError(f"unknown fault {name!r}; available: {', '.join(sorted(_FAULTS))}") from None


def all_faults(task_slug: str | None = None, fault_class: FaultClass | None = None) -> tuple[Fault, ...]:
    """Faults in registry order, those of one task or of one class if asked for."""
    return tuple(
        fault
        for fault in _FAULTS.values()
        if (task_slug is None or fault.applies_to(task_slug))
        and (fault_class is None or fault.fault_class is fault_class)
    )


for _module in sorted(info.name for info in pkgutil.iter_modules(library.__path__)):
    for _fault in importlib.import_module(f"{library.__name__}.{_module}").FAULTS:
        register_fault(_fault)
