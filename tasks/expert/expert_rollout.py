"""Lets the scripted expert act in a fleet until every episode has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.tasks.env.play import play
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, ScriptedExpert

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import EpisodeTruth
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.env.play import PlayedStep
    from flow_rag_vla.tasks.scenarios.scenario import Scenario


def run_expert(
    fleet: Fleet, scenarios: Sequence[Scenario], plan: ExpertPlan, on_step: Callable[[int], None] | None = None
) -> EpisodeTruth:
    """How first attempts at ``scenarios``, one per environment, end when the expert follows ``plan``.

    ``on_step`` is called after each control step with the number of episodes that have ended.
    """
    num_envs, device = fleet.num_envs, str(fleet.device)
    fleet.load(scenarios, [0] * num_envs)
    expert = ScriptedExpert(num_envs, device)
    expert.reset(torch.arange(num_envs, device=device), plan)

    def tell(played: PlayedStep) -> None:
        if on_step is not None:
            on_step(played.ended)

    play(fleet, lambda observation, step, running: expert.act(observation), after_step=tell)
    return fleet.truth
