"""All scenarios of a plan by where they come from: as met first, displaced from there, and on new layouts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.scenarios.scenario import Scenario, name_all
from flow_rag_vla.tasks.scenarios.scenario_columns import (
    CLASSES,
    MADE_AT_ONCE,
    Rows,
    ScenarioColumns,
    names_of,
    numbers_of,
)

ORIGIN_DTYPE = np.int16
"""A run may visit new layouts in each of a thousand rounds."""
Origins = npt.NDArray[np.int16]

FIRST, DISPLACED, VISITED = 0, 1, 2
"""Origins: as it was met first, that displaced, and from here on the new layouts of one visit after the other."""


class ScenarioPool:
    """Scenarios by origin and row: row ``i`` of every origin comes in the place of the ``i``-th that was met first.

    What is displaced is drawn anew whenever it is asked for; of it, only the id is kept.
    """

    def __init__(
        self, first: Sequence[Scenario], visits: Sequence[Sequence[Scenario]] = (), moving: Collection[FaultClass] = ()
    ) -> None:
        """Name all of them.

        Args:
            first: n scenarios.
            visits: n more each, of the same kinds on other layouts.
            moving: Classes of ``first`` that are met displaced, too.

        Raises:
            ValueError: a visit has another number of scenarios.
        """
        self._columns = tuple(ScenarioColumns.of(scenarios) for scenarios in (first, *visits))
        self.classes = [columns.classes() for columns in self._columns]
        """Of ``first`` and of each visit, (n,) index into ``CLASSES``."""
        for visit in visits:
            if len(visit) != len(first):
                raise ValueError(f"a visit has {len(visit)} scenarios, expected {len(first)}")
        displaced = np.zeros(len(first), np.uint64)
        self.ids = [self._columns[FIRST].ids, displaced, *(columns.ids for columns in self._columns[1:])]
        """By origin, (n,) as in ``ScenarioColumns``; 0 where nothing is displaced."""
        moved = np.flatnonzero(np.isin(self.classes[FIRST], [CLASSES.index(kind) for kind in moving]))
        for begin in range(0, len(moved), MADE_AT_ONCE):
            rows = moved[begin : begin + MADE_AT_ONCE]
            made = Scenario.nearby(self._columns[FIRST].take(rows))
            name_all(made)
            displaced[rows] = numbers_of([scenario.id for scenario in made])

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._columns[FIRST])

    def names(self, origins: Origins, rows: Rows) -> list[str]:
        """(n,) the ids of scenarios, none of which is made."""
        numbers = np.empty(len(rows), dtype=np.uint64)
        for origin in np.unique(origins).tolist():
            where = origins == origin
            numbers[where] = self.ids[origin][rows[where]]
        return names_of(numbers)

    def take(self, origins: Origins, rows: Rows) -> list[Scenario]:
        """(n,) the scenarios of ``origins`` at ``rows``, in that order, with their ids."""
        made: dict[int, Scenario] = {}
        for origin in np.unique(origins).tolist():
            places = np.flatnonzero(origins == origin)
            found = self._columns[max(origin - DISPLACED, FIRST)].take(rows[places])
            if origin == DISPLACED:
                found = Scenario.nearby(found)
                for scenario, name in zip(found, names_of(self.ids[DISPLACED][rows[places]]), strict=True):
                    vars(scenario)["id"] = name
            made |= zip(places.tolist(), found, strict=True)
        return [made[i] for i in range(len(rows))]

    def once_each(self, met: Sequence[npt.NDArray[np.bool_]]) -> Iterator[list[Scenario]]:
        """Every scenario once, in the order of ids, a few at a time; ``met`` says by origin, (n,), which are wanted."""
        wanted = [np.flatnonzero(rows) for rows in met]
        ids = np.concatenate([of_origin[rows] for of_origin, rows in zip(self.ids, wanted, strict=True)])
        ids, places = np.unique(ids, return_index=True)
        origins = np.repeat(np.arange(len(wanted), dtype=ORIGIN_DTYPE), [len(rows) for rows in wanted])[places]
        rows = np.concatenate(wanted)[places]
        for begin in range(0, len(ids), MADE_AT_ONCE):
            part = slice(begin, begin + MADE_AT_ONCE)
            yield self.take(origins[part], rows[part])
