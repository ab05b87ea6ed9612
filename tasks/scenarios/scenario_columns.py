"""Many scenarios as columns of numbers, 69 bytes each instead of a thousand; made when they are asked for."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.layout import Layout
from flow_rag_vla.tasks.scenarios.scenario import Scenario, name_all

if TYPE_CHECKING:
    from flow_rag_vla.tasks.faults.definition.fault import Fault
    from flow_rag_vla.tasks.scenarios.sites import Site

Rows = npt.NDArray[np.integer[Any]]

MADE_AT_ONCE = 4096
"""Scenarios that somebody who wants all of them has in memory: about 8 MB."""

CLASSES: tuple[FaultClass, ...] = tuple(FaultClass)

_ID_DIGITS = 16


class ScenarioColumns(Sequence[Scenario]):
    """Scenarios that share much: what a site, a cue and a hazard give is held once, seeds, poses and ids a row each."""

    def __init__(self, count: int) -> None:
        """Room for ``count`` scenarios, which ``put`` brings."""
        self.ids = np.zeros(count, dtype=np.uint64)
        """(n,) the numbers that ids write with 16 hexadecimal digits."""
        self._layout_seeds = np.zeros(count, dtype=np.int64)
        self._lanes = np.zeros(count, dtype=np.int8)
        self._poses = np.zeros((count, 6))
        """Object x and y (m) and yaw (rad), goal x and y, and height (m)."""
        self._shared_of = np.zeros(count, dtype=np.int32)
        self._shared: list[tuple[Any, ...]] = []
        self._code_of: dict[tuple[Any, ...], int] = {}

    @classmethod
    def of(cls, scenarios: Sequence[Scenario]) -> ScenarioColumns:
        """``scenarios``, which keep their order."""
        if isinstance(scenarios, ScenarioColumns):
            return scenarios
        columns = cls(len(scenarios))
        columns.put(np.arange(len(scenarios)), scenarios)
        return columns

    def put(self, rows: Rows, scenarios: Sequence[Scenario]) -> None:
        """Bring the scenarios of ``rows`` (n,); they are named, too."""
        name_all(scenarios)
        self.ids[rows] = numbers_of([s.id for s in scenarios])
        self._layout_seeds[rows] = [s.layout_seed for s in scenarios]
        layouts = [s.layout for s in scenarios]
        self._lanes[rows] = [at.lane for at in layouts]
        self._poses[rows] = np.array(
            [(*at.object_xy_m, at.object_yaw_rad, *at.goal_xy_m, at.goal_height_m) for at in layouts]
        ).reshape(-1, 6)
        self._shared_of[rows] = [self._code(s) for s in scenarios]

    def _code(self, scenario: Scenario) -> int:
        s = scenario
        alike = (s.task, s.site, s.object_colour, s.object_model, s.fault, s.fault_class, s.severity)
        key = (*alike, *s.parameters.items())
        code = self._code_of.setdefault(key, len(self._shared))
        if code == len(self._shared):
            self._shared.append((*alike, s.parameters))
        return code

    def __len__(self) -> int:
        """Number of scenarios."""
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Scenario: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scenario]: ...
    def __getitem__(self, index: int | slice) -> Scenario | list[Scenario]:
        """The scenario at ``index``, or those of a slice."""
        places = range(len(self))[index]
        return self.take(np.array(places)) if isinstance(places, range) else self.take(np.array([places]))[0]

    def __iter__(self) -> Iterator[Scenario]:
        """All of them, of which a few are made at once."""
        for first in range(0, len(self), MADE_AT_ONCE):
            yield from self[first : first + MADE_AT_ONCE]

    def classes(self) -> npt.NDArray[np.int8]:
        """(n,) index into ``CLASSES``."""
        codes = [CLASSES.index(fault_class) for *_, fault_class, _, _ in self._shared]
        return np.array(codes, dtype=np.int8)[self._shared_of]

    def take(self, rows: Rows) -> list[Scenario]:
        """The scenarios at ``rows`` (n,), in that order, with their ids."""
        columns = (self._shared_of, self._layout_seeds, self._lanes, self._poses)
        values = zip(*(column[rows].tolist() for column in columns), names_of(self.ids[rows]), strict=True)
        made = []
        for code, layout_seed, lane, (x, y, yaw, goal_x, goal_y, height), name in values:
            task, site, *others = self._shared[code]
            scenario = Scenario(task, site, layout_seed, Layout(lane, (x, y), yaw, (goal_x, goal_y), height), *others)
            vars(scenario)["id"] = name
            made.append(scenario)
        return made


class Kind(NamedTuple):
    """Scenarios of which all but the layouts is known."""

    site: Site
    fault: Fault | None
    """None for clean ones."""
    fault_class: FaultClass | None
    """As in ``Site.scenarios``."""
    rows: array[int]
    """Where they belong."""


def draw_scenarios(kinds: Iterable[Kind], layout_seeds: npt.NDArray[np.int64]) -> ScenarioColumns:
    """The scenarios of all ``kinds``, the one of row ``i`` with ``layout_seeds[i]``, (n,); each row is of one kind."""
    scenarios = ScenarioColumns(len(layout_seeds))
    for kind in kinds:
        # Those of one kind are made together, which is faster.
        for some in itertools.batched(kind.rows, MADE_AT_ONCE):
            rows = np.array(some)
            made = kind.site.scenarios(layout_seeds[rows].tolist(), kind.fault, kind.fault_class)
            scenarios.put(rows, made)
    return scenarios


def numbers_of(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """(n,) the number that each id of 16 hexadecimal digits writes; their order is that of the ids."""
    return np.frombuffer(bytes.fromhex("".join(ids)), dtype=">u8").astype(np.uint64)


def names_of(numbers: npt.NDArray[np.uint64]) -> list[str]:
    """The ids that ``numbers_of`` made ``numbers`` (n,) of."""
    digits = numbers.astype(">u8").tobytes().hex()
    return [digits[i : i + _ID_DIGITS] for i in range(0, len(digits), _ID_DIGITS)]
