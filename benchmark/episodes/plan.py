"""The plan: every scenario, unit and episode of a run, fixed before the first simulation step.

In E1 the reference arm meets every scenario once, with an empty memory.  In E2 each arm meets them again: EXACT (the
same scenario), NEAR (displaced), FAR (a new layout at the same site and cue, another one each round), CLEAN (no fault)
and CONTROL (the hazard's cue without its bite).  With FAR, what is harmless comes on new layouts, too.

A plan holds numbers: 78 bytes for each scenario (70 more for each new layout), and 7 for each episode of a round,
whatever the number of arms.  Scenarios are made of them whenever a unit or a file asks.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from flow_rag_vla.agents.arms.registry import reference_arm
from flow_rag_vla.benchmark.episodes.records import EpisodeKey, Exposure
from flow_rag_vla.benchmark.episodes.seeds import seed_column
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.scenarios.scenario import Scenario, scenarios_json
from flow_rag_vla.tasks.scenarios.scenario_columns import CLASSES, Kind, ScenarioColumns, draw_scenarios
from flow_rag_vla.tasks.scenarios.scenario_pool import DISPLACED, FIRST, ORIGIN_DTYPE, VISITED, Origins, ScenarioPool

if TYPE_CHECKING:
    from flow_rag_vla.tasks.faults.definition.fault import Fault
    from flow_rag_vla.tasks.scenarios.sites import Site

_LINE = json.JSONEncoder(sort_keys=True)

_EPISODES_AT_ONCE = 1024
"""Made together, where somebody wants all of many."""

_ONCE = {FaultClass.CLEAN: Exposure.CLEAN, FaultClass.CONTROL: Exposure.CONTROL}
"""Met once a round; other scenarios are met again and nearby."""

AVOIDABLE_SHARE, EXOGENOUS_SHARE, CONTROL_SHARE = 0.60, 0.10, 0.12
"""Shares of E1's scenarios; the rest is clean."""

DEFAULT_EXPOSURES = (Exposure.EXACT, Exposure.NEAR, Exposure.CLEAN, Exposure.CONTROL)
ALL_EXPOSURES = (Exposure.EXACT, Exposure.NEAR, Exposure.FAR, Exposure.CLEAN, Exposure.CONTROL)
"""Of E2."""


@dataclass(frozen=True, slots=True)
class PlannedEpisode:
    """One episode: which scenario, met for which purpose, how often before."""

    exposure: Exposure
    scenario: Scenario
    base_scenario_id: str
    attempt: int


_EXPOSURES = (Exposure.E1, *ALL_EXPOSURES)


class _Meetings(NamedTuple):
    """What a round meets, (n,) each."""

    exposures: npt.NDArray[np.int8]
    """Index into ``_EXPOSURES``."""
    origins: Origins
    rows: npt.NDArray[np.int32]
    """With ``origins``, where the scenarios are in the pool."""

    def part(self, where: slice) -> _Meetings:
        return _Meetings(self.exposures[where], self.origins[where], self.rows[where])


class PlannedEpisodes(Sequence[PlannedEpisode]):
    """Some episodes of a round, made when they are asked for."""

    def __init__(self, pool: ScenarioPool, meetings: _Meetings, attempt: int) -> None:
        """Use ``make_plan`` or ``e2_episodes``."""
        self._pool, self.meetings, self._attempt = pool, meetings, attempt

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.meetings.rows)

    @overload
    def __getitem__(self, index: int) -> PlannedEpisode: ...
    @overload
    def __getitem__(self, index: slice) -> list[PlannedEpisode]: ...
    def __getitem__(self, index: int | slice) -> PlannedEpisode | list[PlannedEpisode]:
        """The episode at ``index``, or those of a slice."""
        if isinstance(index, slice):
            return self.part(index)._made()
        place = range(len(self))[index]
        return self[place : place + 1][0]

    def __iter__(self) -> Iterator[PlannedEpisode]:
        """All of them, of which a few are made at once."""
        for first in range(0, len(self), _EPISODES_AT_ONCE):
            yield from self[first : first + _EPISODES_AT_ONCE]

    def part(self, where: slice) -> PlannedEpisodes:
        """Those of ``where``."""
        return PlannedEpisodes(self._pool, self.meetings.part(where), self._attempt)

    def keys(self) -> list[EpisodeKey]:
        """Of all of them, for which no scenario is made."""
        exposures, origins, rows = self.meetings
        words = [_EXPOSURES[code] for code in exposures.tolist()]
        return list(
            zip(words, self._pool.names(origins, rows), self._bases(), [self._attempt] * len(self), strict=True)
        )

    def _made(self) -> list[PlannedEpisode]:
        exposures, origins, rows = self.meetings
        rows_of = zip(exposures.tolist(), self._pool.take(origins, rows), self._bases(), strict=True)
        return [PlannedEpisode(_EXPOSURES[code], scenario, base, self._attempt) for code, scenario, base in rows_of]

    def _bases(self) -> list[str]:
        return self._pool.names(np.full_like(self.meetings.origins, FIRST), self.meetings.rows)


@dataclass(frozen=True)
class Unit:
    """What runs as one piece and is bitwise reproducible: a block of the episodes of one arm in one round."""

    arm: str
    round: int
    num_envs: int
    episodes: Sequence[PlannedEpisode]
    block: int = 0
    """Counts the blocks of the arm's round, in the order of its episodes."""

    @cached_property
    def id(self) -> str:
        """Readable name and a hash of everything the unit runs."""
        return _unit_id(self, _rows_json(self.keys()))

    def keys(self) -> list[EpisodeKey]:
        """Of its episodes."""
        if isinstance(self.episodes, PlannedEpisodes):
            return self.episodes.keys()
        return [(e.exposure, e.scenario.id, e.base_scenario_id, e.attempt) for e in self.episodes]


def _rows_json(keys: Sequence[EpisodeKey]) -> str:
    """What ``plan.jsonl`` says of episodes."""
    return json.dumps(keys)


def _unit_id(unit: Unit, rows: str) -> str:
    what = json.dumps([unit.arm, unit.round, unit.block, unit.num_envs])
    digest = hashlib.sha256(f"{what[:-1]}, {rows}]".encode()).hexdigest()[:8]
    return f"r{unit.round}-{unit.arm}-b{unit.block}-{digest}"


@dataclass(frozen=True)
class Plan:
    """All scenarios and all units of a run, in the order in which they run."""

    scenarios: Sequence[Scenario]
    """What E1 meets."""
    units: tuple[Unit, ...]
    _pool: ScenarioPool = field(repr=False)
    _rounds: tuple[PlannedEpisodes, ...] = field(repr=False)

    def lines(self) -> Iterator[str]:
        """``plan.jsonl``: one line per scenario, then one line per unit with its episodes."""
        met = [np.zeros(len(self._pool), np.bool_) for _ in self._pool.ids]
        for episodes in self._rounds:
            for origin in np.unique(episodes.meetings.origins).tolist():
                met[origin][episodes.meetings.rows[episodes.meetings.origins == origin]] = True
        for scenarios in self._pool.once_each(met):
            for scenario, text in zip(scenarios, scenarios_json(scenarios), strict=True):
                yield f'{{"id": "{scenario.id}", "scenario": {text}}}\n'
        for u in self.units:
            before = _LINE.encode({"arm": u.arm, "block": u.block})
            after = _LINE.encode({"num_envs": u.num_envs, "round": u.round, "unit": u.id})
            yield f'{before[:-1]}, "episodes": {_rows_json(u.keys())}, {after[1:]}\n'

    @cached_property
    def sha256(self) -> str:
        """Of ``plan.jsonl``."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode())
        return digest.hexdigest()


def plan_scenarios(
    sites: Sequence[Site], num_scenarios: int, run_seed: int, split: str = "evaluation", visit: int = 0
) -> ScenarioColumns:
    """The E1 scenarios: sites in turn, each site's faults in turn, layouts from the seeds of ``split``.

    A further ``visit`` meets the same faults under the same cues in the same order, on layouts of its own.

    Raises:
        ValueError: ``num_scenarios`` is smaller than two per avoidable fault, or there are not so many layouts.
    """
    least = 2 * sum(len(site.avoidable_faults) for site in sites)
    if num_scenarios < least:
        raise ValueError(f"got {num_scenarios} scenarios, expected at least {least} (two per avoidable fault and site)")
    layout_seeds = seed_column(split, run_seed, visit * num_scenarios, num_scenarios)
    kinds: dict[tuple[int, str | None, FaultClass | None], Kind] = {}
    place = 0
    for share, kind, fault_class in (
        (AVOIDABLE_SHARE, "avoidable_faults", None),
        (EXOGENOUS_SHARE, "exogenous_faults", None),
        (CONTROL_SHARE, "avoidable_faults", FaultClass.CONTROL),
        (None, "", None),
    ):
        faults = [getattr(site, kind) if kind else () for site in sites]
        count = num_scenarios - place if share is None else round(num_scenarios * share)
        for i in range(count):
            site, fault = i % len(sites), _nth(faults[i % len(sites)], i // len(sites))
            as_class = None if fault is None else fault_class
            new = Kind(sites[site], fault, as_class, array("q"))
            kinds.setdefault((site, fault and fault.name, as_class), new).rows.append(place + i)
        place += count
    return draw_scenarios(kinds.values(), layout_seeds)


def _nth(faults: Sequence[Fault], turn: int) -> Fault | None:
    """The faults in turn; None (a clean scenario) where a site has none."""
    return faults[turn % len(faults)] if faults else None


def e2_episodes(
    scenarios: Sequence[Scenario],
    rounds: int,
    exposures: Collection[Exposure] = DEFAULT_EXPOSURES,
    visits: Sequence[Sequence[Scenario]] = (),
) -> list[PlannedEpisodes]:
    """What one arm meets in each of the ``rounds`` rounds, of which the first is number 1.

    Args:
        scenarios: What E1 met.
        rounds: How often each is met again.
        exposures: Of ``ALL_EXPOSURES``, those that are met.
        visits: With FAR, one entry a round: ``scenarios`` on its new layouts, in their order.
    """
    return _e2(_pool(scenarios, exposures, visits), rounds, exposures)


def _pool(
    scenarios: Sequence[Scenario], exposures: Collection[Exposure], visits: Sequence[Sequence[Scenario]]
) -> ScenarioPool:
    moving = [kind for kind in CLASSES if kind not in _ONCE] if Exposure.NEAR in exposures else []
    return ScenarioPool(scenarios, visits if Exposure.FAR in exposures else (), moving)


def _e2(pool: ScenarioPool, rounds: int, exposures: Collection[Exposure]) -> list[PlannedEpisodes]:
    every = np.arange(len(pool), dtype=np.int32)
    same = _met_as(pool.classes[0], Exposure.EXACT, exposures)
    near = np.where(np.isin(pool.classes[0], _ONCE_CODES), _NOT_MET, _code(Exposure.NEAR, exposures))
    # A scenario is met again, and then nearby, before the next one is.
    again = _met(
        np.stack([same, near], axis=1).ravel(),
        np.tile(np.array([FIRST, DISPLACED], ORIGIN_DTYPE), len(every)),
        np.repeat(every, 2),
    )
    planned = []
    for attempt in range(1, rounds + 1):
        meetings = again
        if Exposure.FAR in exposures:
            far = _met_as(pool.classes[attempt], Exposure.FAR, exposures)
            new = _met(far, np.full(len(every), VISITED + attempt - 1, ORIGIN_DTYPE), every)
            meetings = _Meetings(
                np.concatenate([again.exposures, new.exposures]),
                np.concatenate([again.origins, new.origins]),
                np.concatenate([again.rows, new.rows]),
            )
        planned.append(PlannedEpisodes(pool, meetings, attempt))
    return planned


_NOT_MET = -1
_ONCE_CODES = [CLASSES.index(fault_class) for fault_class in _ONCE]


def _code(exposure: Exposure, exposures: Collection[Exposure]) -> int:
    return _EXPOSURES.index(exposure) if exposure in exposures else _NOT_MET


def _met_as(
    classes: npt.NDArray[np.int8], otherwise: Exposure, exposures: Collection[Exposure]
) -> npt.NDArray[np.int8]:
    """(n,) as what scenarios of ``classes`` (n,) are met: ``otherwise``, where they are not met once a round."""
    codes = [_code(_ONCE.get(fault_class, otherwise), exposures) for fault_class in CLASSES]
    return np.array(codes, dtype=np.int8)[classes]


def _met(exposures: npt.NDArray[np.int8], origins: Origins, rows: npt.NDArray[np.int32]) -> _Meetings:
    """Those that are met."""
    met = exposures != _NOT_MET
    return _Meetings(exposures[met].astype(np.int8), origins[met], rows[met])


def first_attempts(scenarios: Sequence[Scenario]) -> list[PlannedEpisode]:
    """E1's episode of each scenario."""
    return [PlannedEpisode(Exposure.E1, scenario, scenario.id, 0) for scenario in scenarios]


def make_plan(
    scenarios: Sequence[Scenario],
    arms: Sequence[str],
    num_envs: int,
    rounds: int,
    block: int | None = None,
    *,
    exposures: Collection[Exposure] = DEFAULT_EXPOSURES,
    visits: Sequence[Sequence[Scenario]] = (),
) -> Plan:
    """E1, then ``rounds`` rounds of E2 for every arm, in blocks of ``block`` episodes (``num_envs`` where None).

    ``exposures`` and ``visits`` are those of ``e2_episodes``.

    Raises:
        ValueError: ``block`` is no multiple of ``num_envs``, so that other episodes would run side by side than in
            one piece.
    """
    size = num_envs if block is None else block
    if size < 1 or size % num_envs:
        raise ValueError(f"block is {size}, expected a multiple of num_envs, which is {num_envs}")
    pool = _pool(scenarios, exposures, visits)
    n = len(pool)
    e1 = _Meetings(np.zeros(n, np.int8), np.full(n, FIRST, ORIGIN_DTYPE), np.arange(n, dtype=np.int32))
    planned = [PlannedEpisodes(pool, e1, 0), *_e2(pool, rounds, exposures)]
    units: list[Unit] = []
    for round_, episodes in enumerate(planned):
        of_arm: dict[str, list[Unit]] = {arm: [] for arm in (arms if round_ else (reference_arm().name,))}
        for number, first in enumerate(range(0, len(episodes), size)):
            part = episodes.part(slice(first, first + size))
            rows = _rows_json(part.keys())
            for arm, its in of_arm.items():
                unit = Unit(arm, round_, num_envs, part, number)
                vars(unit)["id"] = _unit_id(unit, rows)  # what it would find out alone, from rows that all arms share
                its.append(unit)
        units += itertools.chain.from_iterable(of_arm.values())
    return Plan(scenarios, tuple(units), pool, tuple(planned))
