"""Advice that somebody who knows the hazards gave beforehand: a bound of what corrections can do, and no memory."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.recall.advice import Advice, Needs
from flow_rag_vla.tasks.contract import NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.agents.recall.situation import Situation
    from flow_rag_vla.tasks.contract import Observation


class ToldAdvice:
    """Answers as a memory does that is sure of itself, with the corrections that it was told."""

    def __init__(self) -> None:
        """Nothing was told yet, and nothing is advised."""
        self._candidate: torch.Tensor | None = None

    def tell(self, candidate: torch.Tensor) -> None:
        """The corrections of the next episodes, (num_envs,) int64; ``NOTHING`` where none is needed."""
        self._candidate = candidate

    def advise(
        self,
        observation: Observation,
        asks: torch.Tensor | None = None,
        situation: Situation | None = None,
        felt: torch.Tensor | None = None,
    ) -> Advice:
        """As ``Advisor.advise``; what is sensed and felt has no part in it."""
        device = observation.object_pos_b.device
        nothing = Advice.nothing(observation.num_envs, str(device))
        if asks is None:
            asks = torch.ones_like(nothing.considered)
        if self._candidate is None:
            return dataclasses.replace(nothing, considered=asks, closed=asks)
        self._candidate = self._candidate.to(device)
        candidate = torch.where(asks, self._candidate, NOTHING)
        certain = (candidate != NOTHING).to(nothing.reliability.dtype)
        return dataclasses.replace(
            nothing, candidate=candidate, reliability=certain, considered=asks, closed=asks, needs=Needs()
        )
