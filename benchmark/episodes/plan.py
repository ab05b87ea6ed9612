"""The plan: every scenario, unit and episode of a run, fixed before the first simulation step.

In E1 the reference arm meets every scenario once, with an empty memory.  In E2 each arm meets them again: EXACT (the
same scenario), NEAR (displaced), FAR (a new layout at the same site and cue, another one each round), CLEAN (no fault)
and CONTROL (the hazard's cue without its bite).  With FAR, what is harmless comes on new layouts, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.registry import reference_arm
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import seed_block
from flow_rag_vla.tasks.contract import FaultClass

if TYPE_CHECKING:
    from flow_rag_vla.tasks.faults.definition.fault import Fault
    from flow_rag_vla.tasks.scenarios.scenario import Scenario
    from flow_rag_vla.tasks.scenarios.sites import Site

AVOIDABLE_SHARE, EXOGENOUS_SHARE, CONTROL_SHARE = 0.60, 0.10, 0.12
"""Shares of E1's scenarios; the rest is clean."""

DEFAULT_EXPOSURES = (Exposure.EXACT, Exposure.NEAR, Exposure.CLEAN, Exposure.CONTROL)
ALL_EXPOSURES = (Exposure.EXACT, Exposure.NEAR, Exposure.FAR, Exposure.CLEAN, Exposure.CONTROL)
"""Of E2."""


@dataclass(frozen=True)
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
        content = [self.arm, self.round, self.block, self.num_envs, episode_rows(self.episodes)]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
        return f"r{self.round}-{self.arm}-b{self.block}-{digest}"


def episode_rows(episodes: Sequence[PlannedEpisode]) -> list[list[str | int]]:
    """What ``plan.jsonl`` says of each of ``episodes``."""
    return [[e.exposure, e.scenario.id, e.base_scenario_id, e.attempt] for e in episodes]


@dataclass(frozen=True)
class Plan:
    """All scenarios and all units of a run, in the order in which they run."""

    scenarios: tuple[Scenario, ...]
    units: tuple[Unit, ...]

    def to_jsonl(self) -> str:
        """One line per scenario, then one line per unit with its episodes."""
        by_id = {s.id: s for s in self.scenarios}
        by_id.update({e.scenario.id: e.scenario for unit in self.units for e in unit.episodes})
        rows: list[dict] = [{"scenario": s.to_dict(), "id": key} for key, s in sorted(by_id.items())]
        rows += [
            {"unit": u.id, "arm": u.arm, "round": u.round, "block": u.block, "num_envs": u.num_envs,
             "episodes": episode_rows(u.episodes)}
            for u in self.units
        ]  # fmt: skip
        return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)


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
    layout_seeds = iter(seed_block(split, run_seed, (visit + 1) * num_scenarios)[visit * num_scenarios :])
    scenarios = []
    for share, kind, fault_class in (
        (AVOIDABLE_SHARE, "avoidable_faults", None),
        (EXOGENOUS_SHARE, "exogenous_faults", None),
        (CONTROL_SHARE, "avoidable_faults", FaultClass.CONTROL),
    ):
        for i in range(round(num_scenarios * share)):
            site = sites[i % len(sites)]
            fault = _nth(getattr(site, kind), i // len(sites))
            scenarios.append(site.scenario(next(layout_seeds), fault, None if fault is None else fault_class))
    scenarios += [sites[i % len(sites)].scenario(seed) for i, seed in enumerate(layout_seeds)]
    return scenarios


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
    again: list[tuple[Exposure, Scenario, str]] = []
    for scenario in scenarios:
        harmless = _HARMLESS.get(scenario.fault_class)
        if harmless is not None:
            again.append((harmless, scenario, scenario.id))
            continue
        again.append((Exposure.EXACT, scenario, scenario.id))
        if Exposure.NEAR in exposures:
            again.append((Exposure.NEAR, scenario.near(), scenario.id))
    again = [met for met in again if met[0] in exposures]
    rows = []
    for attempt in range(1, rounds + 1):
        met = list(again)
        if Exposure.FAR in exposures:
            new = zip(visits[attempt - 1], scenarios, strict=True)
            far = [(_HARMLESS.get(s.fault_class, Exposure.FAR), s, base.id) for s, base in new]
            met += [entry for entry in far if entry[0] in exposures]
        rows.append(tuple(PlannedEpisode(exposure, scenario, base, attempt) for exposure, scenario, base in met))
    return rows


_HARMLESS = {FaultClass.CLEAN: Exposure.CLEAN, FaultClass.CONTROL: Exposure.CONTROL}


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
    units = _blocks(reference_arm().name, 0, num_envs, first_attempts(scenarios), size)
    for round_index, episodes in enumerate(e2_episodes(scenarios, rounds, exposures, visits), start=1):
        for arm in arms:
            units += _blocks(arm, round_index, num_envs, episodes, size)
    return Plan(tuple(scenarios), tuple(units))


def _blocks(arm: str, round_: int, num_envs: int, episodes: Sequence[PlannedEpisode], size: int) -> list[Unit]:
    starts = range(0, len(episodes), size)
    return [Unit(arm, round_, num_envs, tuple(episodes[i : i + size]), block) for block, i in enumerate(starts)]
