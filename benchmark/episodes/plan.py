"""The plan: every scenario, unit and episode of a run, fixed before the first simulation step.

In E1 the reference arm meets every scenario once, with an empty memory.  In E2 each arm meets them again: EXACT (the
same scenario), NEAR (displaced), FAR (a new layout at the same site and cue, another one each round), CLEAN (no fault)
and CONTROL (the hazard's cue without its bite).  With FAR, what is harmless comes on new layouts, too.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from flow_rag_vla.agents.arms.registry import reference_arm
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import seed_block
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.scenarios.scenario import Scenario, name_all, scenarios_json

if TYPE_CHECKING:
    from flow_rag_vla.tasks.faults.definition.fault import Fault
    from flow_rag_vla.tasks.scenarios.sites import Site

_LINE = json.JSONEncoder(sort_keys=True)

_SCENARIOS_AT_ONCE = 4096

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


@dataclass(frozen=True)
class Unit:
    """What runs as one piece and is bitwise reproducible: a block of the episodes of one arm in one round."""

    arm: str
    round: int
    num_envs: int
    episodes: tuple[PlannedEpisode, ...]
    block: int = 0
    """Counts the blocks of the arm's round, in the order of its episodes."""

    @cached_property
    def id(self) -> str:
        """Readable name and a hash of everything the unit runs."""
        return _unit_id(self, _Rows())


class _Rows:
    """What ``plan.jsonl`` says of blocks of episodes, as JSON; kept for one round, whose arms share them."""

    def __init__(self) -> None:
        self._round, self._texts = -1, dict[int, tuple[tuple[PlannedEpisode, ...], str]]()

    def of(self, unit: Unit) -> str:
        if unit.round != self._round:
            self._round, self._texts = unit.round, {}
        if id(unit.episodes) not in self._texts:
            rows = [[e.exposure, e.scenario.id, e.base_scenario_id, e.attempt] for e in unit.episodes]
            self._texts[id(unit.episodes)] = unit.episodes, json.dumps(rows)
        return self._texts[id(unit.episodes)][1]


def _unit_id(unit: Unit, rows: _Rows) -> str:
    what = json.dumps([unit.arm, unit.round, unit.block, unit.num_envs])
    digest = hashlib.sha256(f"{what[:-1]}, {rows.of(unit)}]".encode()).hexdigest()[:8]
    return f"r{unit.round}-{unit.arm}-b{unit.block}-{digest}"


@dataclass(frozen=True)
class Plan:
    """All scenarios and all units of a run, in the order in which they run."""

    scenarios: tuple[Scenario, ...]
    units: tuple[Unit, ...]

    def lines(self) -> Iterator[str]:
        """``plan.jsonl``: one line per scenario, then one line per unit with its episodes."""
        by_id = {s.id: s for s in self.scenarios}
        blocks = {id(unit.episodes): unit.episodes for unit in self.units}
        by_id.update({e.scenario.id: e.scenario for episodes in blocks.values() for e in episodes})
        for keys in itertools.batched(sorted(by_id), _SCENARIOS_AT_ONCE):
            for key, text in zip(keys, scenarios_json([by_id[key] for key in keys]), strict=True):
                yield f'{{"id": "{key}", "scenario": {text}}}\n'
        texts = _Rows()
        for u in self.units:
            before = _LINE.encode({"arm": u.arm, "block": u.block})
            after = _LINE.encode({"num_envs": u.num_envs, "round": u.round, "unit": u.id})
            yield f'{before[:-1]}, "episodes": {texts.of(u)}, {after[1:]}\n'

    @cached_property
    def sha256(self) -> str:
        """Of ``plan.jsonl``."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode())
        return digest.hexdigest()


def plan_scenarios(
    sites: Sequence[Site], num_scenarios: int, run_seed: int, split: str = "evaluation", visit: int = 0
) -> list[Scenario]:
    """The E1 scenarios: sites in turn, each site's faults in turn, layouts from the seeds of ``split``.

    A further ``visit`` meets the same faults under the same cues in the same order, on layouts of its own.

    Raises:
        ValueError: ``num_scenarios`` is smaller than two per avoidable fault, or there are not so many layouts.
    """
    least = 2 * sum(len(site.avoidable_faults) for site in sites)
    if num_scenarios < least:
        raise ValueError(f"got {num_scenarios} scenarios, expected at least {least} (two per avoidable fault and site)")
    kinds: list[_Kind] = []
    for share, kind, fault_class in (
        (AVOIDABLE_SHARE, "avoidable_faults", None),
        (EXOGENOUS_SHARE, "exogenous_faults", None),
        (CONTROL_SHARE, "avoidable_faults", FaultClass.CONTROL),
    ):
        faults = [getattr(site, kind) for site in sites]
        for i in range(round(num_scenarios * share)):
            fault = _nth(faults[i % len(sites)], i // len(sites))
            kinds.append(_Kind(i % len(sites), fault, None if fault is None else fault_class))
    kinds += [_Kind(i % len(sites), None, None) for i in range(num_scenarios - len(kinds))]
    layout_seeds = seed_block(split, run_seed, (visit + 1) * num_scenarios)[visit * num_scenarios :]
    return _of_kinds(sites, kinds, layout_seeds)


class _Kind(NamedTuple):
    """All of a scenario but its layout."""

    site: int
    """Index."""
    fault: Fault | None
    fault_class: FaultClass | None


def _of_kinds(sites: Sequence[Site], kinds: Sequence[_Kind], layout_seeds: Sequence[int]) -> list[Scenario]:
    """A scenario for each of ``kinds`` and its seed; those of one kind are made together."""
    rows: dict[tuple[int, str | None, FaultClass | None], list[int]] = {}
    for i, kind in enumerate(kinds):
        rows.setdefault((kind.site, kind.fault and kind.fault.name, kind.fault_class), []).append(i)
    made: dict[int, Scenario] = {}
    with _no_collector():
        for of_kind in rows.values():
            kind = kinds[of_kind[0]]
            seeds = [layout_seeds[i] for i in of_kind]
            made |= zip(of_kind, sites[kind.site].scenarios(seeds, kind.fault, kind.fault_class), strict=True)
        scenarios = [made[i] for i in range(len(kinds))]
        name_all(scenarios)
    return scenarios


@contextmanager
def _no_collector() -> Iterator[None]:
    """Of garbage: a plan is a million objects that stay, which it would look through again and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _nth(faults: Sequence[Fault], turn: int) -> Fault | None:
    """The faults in turn; None (a clean scenario) where a site has none."""
    return faults[turn % len(faults)] if faults else None


def e2_episodes(
    scenarios: Sequence[Scenario],
    rounds: int,
    exposures: Collection[Exposure] = DEFAULT_EXPOSURES,
    visits: Sequence[Sequence[Scenario]] = (),
) -> list[tuple[PlannedEpisode, ...]]:
    """What one arm meets in each of the ``rounds`` rounds, of which the first is number 1.

    Args:
        scenarios: What E1 met.
        rounds: How often each is met again.
        exposures: Of ``ALL_EXPOSURES``, those that are met.
        visits: With FAR, one entry a round: ``scenarios`` on its new layouts, in their order.
    """
    moved = []
    if Exposure.NEAR in exposures:
        moved = Scenario.nearby([s for s in scenarios if s.fault_class not in _ONCE])
        name_all(moved)
    near = iter(moved)
    again: list[tuple[Exposure, Scenario, str]] = []
    for scenario in scenarios:
        once = _ONCE.get(scenario.fault_class)
        met = once or Exposure.EXACT
        if met in exposures:
            again.append((met, scenario, scenario.id))
        if once is None and Exposure.NEAR in exposures:
            again.append((Exposure.NEAR, next(near), scenario.id))
    rows = []
    for attempt in range(1, rounds + 1):
        new: list[tuple[Exposure, Scenario, str]] = []
        if Exposure.FAR in exposures:
            pairs = zip(visits[attempt - 1], scenarios, strict=True)
            new = [(_ONCE.get(s.fault_class, Exposure.FAR), s, base.id) for s, base in pairs]
        met_again = again + [entry for entry in new if entry[0] in exposures]
        rows.append(tuple(PlannedEpisode(exposure, scenario, base, attempt) for exposure, scenario, base in met_again))
    return rows


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
    units: list[Unit] = []
    rows = _Rows()
    with _no_collector():
        for round_, episodes in enumerate(
            [first_attempts(scenarios), *e2_episodes(scenarios, rounds, exposures, visits)]
        ):
            blocks = [tuple(episodes[i : i + size]) for i in range(0, len(episodes), size)]
            for arm in arms if round_ else (reference_arm().name,):
                for number, taken in enumerate(blocks):
                    unit = Unit(arm, round_, num_envs, taken, number)
                    # One by one, each would make the rows anew that all arms share.
                    vars(unit)["id"] = _unit_id(unit, rows)
                    units.append(unit)
    return Plan(tuple(scenarios), tuple(units))
