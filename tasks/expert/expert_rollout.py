"""Lets the scripted expert act in a fleet until every episode has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.env.play import play
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, ScriptedExpert

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import EpisodeTruth
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.scenarios.scenario import Scenario


def run_expert(fleet: Fleet, scenarios: Sequence[Scenario], plan: ExpertPlan) -> EpisodeTruth:
    """How first attempts at ``scenarios``, one per environment, end when the expert follows ``plan``."""
    num_envs, device = fleet.num_envs, str(fleet.device)
    fleet.load(scenarios, [0] * num_envs)
    expert = ScriptedExpert(num_envs, device)
    expert.reset(torch.arange(num_envs, device=device), plan)
    play(fleet, lambda observation, step, running: expert.act(observation))
    return fleet.truth
