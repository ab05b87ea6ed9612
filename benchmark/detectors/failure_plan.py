"""Which episodes a failure detector is fitted to, calibrated and tested on: every fault, its mild forms, and none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.episodes.seeds import MAX_SITES, first_site, seed_block
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.randomness import keyed_generator
from flow_rag_vla.tasks.faults.registry import all_faults
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

CLEAN_SHARE, CONTROL_SHARE = 0.25, 0.10
"""Shares of the episodes; the rest carries a fault with a severity drawn from its ladder."""


def failure_scenarios(task: str, split: str, seed: int, num_episodes: int) -> list[Scenario]:
    """``num_episodes`` independent draws of site, layout and fault, named by the layout seeds of a block.

    Every episode has its own site, so that no cue means the same in two of them.

    Raises:
        UnknownNameError: an unknown task.
        ValueError: an unknown split, or a block out of range.
    """
    spec = get_task(task)
    faults = all_faults(spec.slug)
    scenarios = []
    for layout_seed in seed_block(split, seed, num_episodes):
        rng = keyed_generator("failure", layout_seed)
        site = make_site(first_site(split, seed) + int(rng.integers(MAX_SITES)), spec.name)
        kind = rng.random()
        fault = None if kind < CLEAN_SHARE else faults[rng.integers(len(faults))]
        if fault is None:
            scenarios.append(site.scenario(layout_seed))
        elif kind < CLEAN_SHARE + CONTROL_SHARE:
            scenarios.append(site.scenario(layout_seed, fault, FaultClass.CONTROL))
        else:
            severity = fault.ladder[rng.integers(len(fault.ladder))]
            scenarios.append(site.scenario(layout_seed, fault, severity=severity))
    return scenarios
