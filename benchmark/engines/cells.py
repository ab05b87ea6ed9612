"""What both engines play: cells of one task and fault, on the sites and layouts that certificates rest on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from flow_rag_vla.benchmark.certification.certify import LAYOUT_BLOCK, SITES_PER_FAULT, cell_scenarios, sites_with
from flow_rag_vla.benchmark.episodes.seeds import DEVELOPMENT
from flow_rag_vla.tasks.contract import FaultClass, UnknownNameError
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

CLEAN = "none"
ALL = "all"


@dataclass(frozen=True)
class Cell:
    """Episodes that make one row of a comparison for every arm."""

    task: str
    """Short name."""
    fault: str
    """``none`` where nothing goes wrong."""
    fault_class: FaultClass
    """``CONTROL`` for the harmless twin of ``fault``."""
    scenarios: tuple[Scenario, ...]

    @property
    def scenario_ids(self) -> tuple[str, ...]:
        """In the order in which they are planned."""
        return tuple(scenario.id for scenario in self.scenarios)


class CellKey(NamedTuple):
    """Names what is played once: where, by whom, and what."""

    physics: str
    arm: str
    task: str
    fault: str
    fault_class: FaultClass

    def __str__(self) -> str:
        """Like ``newton_mjwarp, expert, pick_place, slippery_object (avoidable)``."""
        return f"{self.physics}, {self.arm}, {self.task}, {self.fault} ({self.fault_class})"


@dataclass(frozen=True)
class Assignment:
    """A cell that one arm is to play on one engine."""

    physics: str
    arm: str
    checkpoint_sha256: str | None
    """Of the policy that is to act; None for an expert."""
    cell: Cell

    @property
    def key(self) -> CellKey:
        """Its name."""
        return CellKey(self.physics, self.arm, self.cell.task, self.cell.fault, self.cell.fault_class)


def plan_cells(
    tasks: Sequence[Task], faults: Sequence[str], n: int, seed: int = LAYOUT_BLOCK, *, controls: bool = True
) -> list[Cell]:
    """The cells of ``faults`` in ``tasks``, a task that does not offer a fault left out.

    Args:
        tasks: One or more.
        faults: Names, ``none`` or ``all``.
        n: Scenarios of a cell.
        seed: Names the block of development layouts; certificates rest on ``LAYOUT_BLOCK``.
        controls: An avoidable fault brings the cell of its harmless twin.

    Raises:
        UnknownNameError: a fault that none of the tasks offers.
    """
    known = (CLEAN, *(f.name for f in all_faults() if any(f.applies_to(task.slug) for task in tasks)))
    for name in faults:
        if name not in (ALL, *known):
            offering = ", ".join(task.slug for task in tasks)
            raise UnknownNameError(f"fault {name!r} is not offered by {offering}; available: all, {', '.join(known)}")
    names = known if ALL in faults else tuple(dict.fromkeys(faults))
    return [cell for task in tasks for name in names for cell in _cells(task.slug, name, n, seed, controls)]


def _cells(task: str, name: str, n: int, seed: int, controls: bool) -> Iterator[Cell]:
    if name == CLEAN:
        first = DEVELOPMENT.start
        sites = [make_site(site, task) for site in range(first, first + SITES_PER_FAULT)]
        yield Cell(task, CLEAN, FaultClass.CLEAN, tuple(cell_scenarios(sites, None, n, seed=seed)))
        return
    fault = get_fault(name)
    if not fault.applies_to(task):
        return
    sites = sites_with(task, fault)
    yield Cell(task, name, fault.fault_class, tuple(cell_scenarios(sites, fault, n, seed=seed)))
    if controls and fault.fault_class is FaultClass.AVOIDABLE:
        twins = cell_scenarios(sites, fault, n, fault_class=FaultClass.CONTROL, seed=seed)
        yield Cell(task, name, FaultClass.CONTROL, tuple(twins))
