"""Whether outcomes hang on the time step: the same episodes with other numbers of physics steps a control step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flow_rag_vla.benchmark.certification.certify import INFORMED, NOMINAL, Trial, cell_scenarios, deepest, sites_with
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults.registry import all_faults

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.certification.certify import Ended


def plan_study(task: str, n: int) -> list[Trial]:
    """``n`` episodes of both experts in every avoidable cell of ``task``: those that its certificate begins with."""
    return [
        Trial(("cell", fault.name, str(actor)), scenario, actor)
        for fault in all_faults(task)
        if fault.fault_class is FaultClass.AVOIDABLE
        for scenario in cell_scenarios(sites_with(task, fault), fault, n)
        for actor in (NOMINAL, INFORMED)
    ]


def agreement(ended: Mapping[int, Sequence[Ended]]) -> dict[str, dict[str, Any]]:
    """What the time step changes in each fault's episodes, JSON-able.

    Args:
        ended: Physics steps of a control step to how the trials of ``plan_study`` ended, in one order.

    Returns:
        Fault to ``{"n", "k", "penetration_mm"}``: its episodes, those that end alike whatever the time step, and by
        number of steps how deep the finger pads sank into the object.

    Raises:
        ValueError: other trials with one number of steps than with another.
    """
    study: dict[str, dict[str, Any]] = {}
    for ends in zip(*ended.values(), strict=True):
        if len({end.trial.key for end in ends}) > 1:
            raise ValueError(f"expected the same trials with every time step, got {[end.trial.key for end in ends]}")
        row = study.setdefault(ends[0].trial.key[1], {"n": 0, "k": 0, "penetration_mm": dict.fromkeys(ended)})
        row["n"] += 1
        row["k"] += len({end.outcome for end in ends}) == 1
    for fault, row in study.items():
        for num_substeps, ends in ended.items():
            depths = (end.penetration_mm for end in ends if end.trial.key[1] == fault)
            row["penetration_mm"][num_substeps] = deepest(depths)
    return study
