"""Certifies a task's scenarios in the simulator: hazardous, feasible, graded, and not solved by any constant habit.

Common noise: the nominal expert, the informed expert and the constant strategies meet the same layouts, from
development seeds, spread over many sites so that all lanes and colours that announce a fault occur.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch

from flow_rag_vla.benchmark.certification.certificate import SCHEMA_VERSION, fingerprint, is_certified
from flow_rag_vla.benchmark.certification.dose_response import dose_response
from flow_rag_vla.benchmark.episodes.records import Outcome
from flow_rag_vla.benchmark.episodes.seeds import DEVELOPMENT, seed_block
from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.env.batches import batches
from flow_rag_vla.tasks.expert.expert_rollout import run_expert
from flow_rag_vla.tasks.expert.scripted_expert import DETOUR_M, FIRM_GRIP, SOFT_GRIP, ExpertPlan, informed_plan
from flow_rag_vla.tasks.facts.contact_parameters import world_description
from flow_rag_vla.tasks.faults.registry import all_faults
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.catalogue.task import Task
    from flow_rag_vla.tasks.contract import EpisodeTruth
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.faults.definition.fault import Fault
    from flow_rag_vla.tasks.scenarios.scenario import Scenario
    from flow_rag_vla.tasks.scenarios.sites import Site

INFORMED = "informed"
SOLVED_RATE = 0.5
"""A strategy solves a cell where it succeeds at least this often."""

HIGH_M = 0.15
"""A high carry is this much above the nominal one."""

LAYOUT_BLOCK = 1
"""The block of development layouts on which certificates rest."""

SITES_PER_FAULT = 24
SITES_SEARCHED = 400
"""Sites over which a fault's episodes are spread, and over which the worst composition is sought."""


@dataclass(frozen=True)
class Strategy:
    """A constant habit: always this grip, this height, this side."""

    grip: str
    height: str
    side: str

    def __str__(self) -> str:
        """Like ``firm grip, high, straight``."""
        return f"{self.grip} grip, {self.height}, {self.side}"


STRATEGIES: tuple[Strategy, ...] = tuple(
    Strategy(*choice)
    for choice in itertools.product(
        ("soft", "nominal", "firm"), ("low", "nominal", "high"), ("left", "straight", "right")
    )
)
NOMINAL = Strategy("nominal", "nominal", "straight")


@dataclass(frozen=True)
class Trial:
    """One episode: who meets which scenario, and under which key it is counted."""

    key: tuple
    scenario: Scenario
    actor: Strategy | str


@dataclass(frozen=True)
class Ended:
    """How a trial ended."""

    trial: Trial
    valid: bool
    """Its physics held."""
    succeeded: bool
    """And the task was completed."""
    penetration_mm: float
    """How deep both finger pads together sank into the object for 7 ms."""
    peak_penetration_mm: float
    """In any physics step, impacts and collisions included."""

    @property
    def outcome(self) -> Outcome:
        """In the words of episode records."""
        return Outcome.INVALID if not self.valid else Outcome.SUCCESS if self.succeeded else Outcome.FAILURE


def sites_with(task: str, fault: Fault) -> list[Site]:
    """Development sites that hold ``fault``, or any sites for a fault that nothing announces."""
    found: list[Site] = []
    for seed in range(DEVELOPMENT.start, DEVELOPMENT.start + SITES_SEARCHED):
        site = make_site(seed, task)
        if fault.cue == "none" or fault.name in site.colour_of or fault.name in site.lane_of:
            found.append(site)
        if len(found) == SITES_PER_FAULT:
            break
    return found


def cell_scenarios(
    sites: Sequence[Site],
    fault: Fault | None,
    n: int,
    severity: float | None = None,
    *,
    fault_class: FaultClass | None = None,
    seed: int = LAYOUT_BLOCK,
) -> list[Scenario]:
    """``n`` scenarios of ``fault`` on the development layouts that ``seed`` names, ``sites`` in turn.

    ``fault``, ``fault_class`` and ``severity`` as in ``Site.scenario``.
    """
    seeds = seed_block("development", seed, n)
    return [sites[i % len(sites)].scenario(layout, fault, fault_class, severity) for i, layout in enumerate(seeds)]


def plan_trials(task: str, n: int, dose_n: int, grid_n: int) -> list[Trial]:
    """Everything that the certificate of ``task`` rests on."""
    trials = []
    for fault in all_faults(task):
        sites = sites_with(task, fault)
        if fault.fault_class is FaultClass.AVOIDABLE:
            for scenario in cell_scenarios(sites, fault, n):
                trials += [Trial(("cell", fault.name, str(actor)), scenario, actor) for actor in (NOMINAL, INFORMED)]
            others = [s for s in STRATEGIES if s != NOMINAL]
            for scenario in cell_scenarios(sites, fault, grid_n):
                trials += [Trial(("grid", fault.name, strategy), scenario, strategy) for strategy in others]
        for severity in fault.ladder:
            trials += [
                Trial(("dose", fault.name, severity), scenario, NOMINAL)
                for scenario in cell_scenarios(sites, fault, dose_n, severity)
            ]
    return trials


def strategy_plan(strategies: Sequence[Strategy], task: Task, device: str = "cpu") -> ExpertPlan:
    """The plans of constant habits, one row each."""
    grips = {"soft": SOFT_GRIP, "firm": FIRM_GRIP}
    sides = {"left": -DETOUR_M, "straight": 0.0, "right": DETOUR_M}
    heights = {
        "low": task.low_clearance_m,
        "nominal": task.nominal_clearance_m,
        "high": task.nominal_clearance_m + HIGH_M,
    }
    plan = ExpertPlan.nominal(len(strategies), device, task)
    grip = [grips.get(s.grip, float(plan.grip[i])) for i, s in enumerate(strategies)]
    return dataclasses.replace(
        plan,
        grip=torch.tensor(grip, device=device),
        clearance_m=torch.tensor([heights[s.height] for s in strategies], device=device),
        detour_m=torch.tensor([sides[s.side] for s in strategies], device=device),
    )


def run_trials(env: Fleet, trials: Sequence[Trial], on_trials: Callable[[int], None]) -> Iterator[Ended]:
    """Yields how each trial ended; ``on_trials`` is called with how many have."""
    for batch in batches(trials, env.num_envs):
        done, most = batch.first, len(batch.entries)
        truth = _run_batch(env, batch.rows, lambda n, d=done, m=most: on_trials(d + min(n, m)))
        for i, trial in enumerate(batch.entries):
            valid = not bool(truth.invalid[i])
            depths = (1e3 * float(depth[i]) for depth in (truth.penetration_m, truth.peak_penetration_m))
            yield Ended(trial, valid, valid and bool(truth.success[i]), *depths)
        on_trials(batch.end)


def _run_batch(env: Fleet, trials: Sequence[Trial], on_step: Callable[[int], None]) -> EpisodeTruth:
    device = str(env.device)
    strategies = [t.actor if isinstance(t.actor, Strategy) else NOMINAL for t in trials]
    plan = strategy_plan(strategies, env.task, device)
    informed = [i for i, t in enumerate(trials) if t.actor == INFORMED]
    if informed:
        told = informed_plan([trials[i].scenario for i in informed], device)
        plan = plan.replace_rows(torch.tensor(informed, device=device), told)
    return run_expert(env, [t.scenario for t in trials], plan, on_step)


def certify(task: Task, physics: str, ends: Iterable[Ended], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The certificate of ``task``, JSON-able, from how the trials ended that ``plan_trials`` planned with ``sizes``."""
    ended: dict[tuple, list[Ended]] = defaultdict(list)
    for end in ends:
        ended[end.trial.key].append(end)
    totals = Counter({key: len(ends) for key, ends in ended.items()})
    successes = Counter({key: sum(end.succeeded for end in ends) for key, ends in ended.items()})
    faults: dict[str, Any] = {}
    for fault in all_faults(task.slug):
        avoidable = fault.fault_class is FaultClass.AVOIDABLE
        keys = [("dose", fault.name, severity) for severity in fault.ladder]
        doses = [_row(ended[key], Outcome.FAILURE) for key in keys]
        met = [row for row in doses if row["n"]]
        verdict = dose_response([row["k"] for row in met], [row["n"] for row in met])
        entry: dict[str, Any] = {
            "fault_class": str(fault.fault_class),
            "unit": fault.unit,
            "default_severity": fault.default_severity,
            "parameters": fault.parameters(fault.default_severity),
            "fingerprint": fingerprint(fault, task.name),
            "dose": [
                {"severity": severity, **row} for severity, row in zip(fault.ladder, doses, strict=True) if row["n"]
            ],
            "trend_p": verdict.trend_p,
            "reversal_p": verdict.reversal_p,
            "graded": verdict.graded if met else None,
        }
        if avoidable:
            for actor in (str(NOMINAL), INFORMED):
                row = _row(ended["cell", fault.name, actor], Outcome.SUCCESS)
                entry["nominal" if actor != INFORMED else INFORMED] = row
        entry["certified"] = is_certified(entry["nominal"], entry[INFORMED]) if avoidable else None
        faults[fault.name] = entry
    solved = solved_cells(successes, totals)
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task.name,
        "physics": physics,
        **conditions(),
        **sizes,
        "faults": faults,
        "constant_strategies": {str(s): sorted(solved[s]) for s in STRATEGIES},
        "worst_site": worst_site(task.slug, solved) if sizes["grid_n"] else None,
    }


def _row(ended: Sequence[Ended], counted: Outcome) -> dict[str, Any]:
    """Counts of all ``n`` episodes; those with invalid physics count as neither success nor failure."""
    return {
        **dataclasses.asdict(proportion(sum(end.outcome is counted for end in ended), len(ended))),
        "invalid": sum(not end.valid for end in ended),
        "penetration_mm": deepest(end.penetration_mm for end in ended),
        "peak_penetration_mm": deepest(end.peak_penetration_mm for end in ended),
    }


def deepest(depths_mm: Iterable[float]) -> float | None:
    """The largest finite one, to a micrometre; None where there is none."""
    return max((round(depth, 3) for depth in depths_mm if math.isfinite(depth)), default=None)


def engine_versions() -> dict[str, str]:
    """Of the packages that the physics is computed by."""
    return {name: metadata.version(name) for name in ("isaaclab", "newton", "mujoco", "mujoco-warp", "warp-lang")}


def conditions() -> dict[str, Any]:
    """What outcomes hang on beside scenario, actor and engine: versions, contacts and limits of commands."""
    return {"versions": engine_versions(), **world_description()}


def solved_cells(successes: Counter, totals: Counter) -> dict[Strategy, set[str]]:
    """Strategy to the faults that it solves; the nominal strategy's counts are those of the cells themselves."""
    solved: dict[Strategy, set[str]] = defaultdict(set)
    for key, total in totals.items():
        kind, fault, actor = key
        if kind == "cell" and actor == str(NOMINAL):
            actor = NOMINAL
        elif kind != "grid":
            continue
        if total and successes[key] >= SOLVED_RATE * total:
            solved[actor].add(fault)
    return solved


def worst_site(task: str, solved: dict[Strategy, set[str]]) -> dict[str, Any]:
    """The site, of ``SITES_SEARCHED``, whose avoidable cells one constant strategy solves the largest share of."""
    worst: dict[str, Any] = {"share": -1.0}
    for seed in range(DEVELOPMENT.start, DEVELOPMENT.start + SITES_SEARCHED):
        held = [fault.name for fault in make_site(seed, task).avoidable_faults]
        for strategy in STRATEGIES:
            share = sum(name in solved.get(strategy, ()) for name in held) / len(held)
            if share > worst["share"]:
                worst = {"share": share, "site": seed, "strategy": str(strategy), "faults": sorted(held)}
    return worst
