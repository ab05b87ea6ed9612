"""What is measured must run: an episode that has ended may stand still, and then says nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.episodes.seeds import DEVELOPMENT
from flow_rag_vla.tasks.catalogue.lift import TASK
from flow_rag_vla.tasks.facts.layout import Layout
from flow_rag_vla.tasks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    import torch

    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

_ASIDE = Layout(0, (0.30, 0.50), 0.0, (0.30, 0.50), 0.10)
"""The object, out of the way."""


def load_aside(fleet: Fleet, num_episodes: int) -> Observation:
    """Start ``num_episodes`` episodes of lifting whose object lies out of the way; the first observation.

    Raises:
        ValueError: not as many as ``fleet`` has environments.
    """
    seed = DEVELOPMENT.start
    return fleet.load([Scenario(TASK.name, seed, seed, _ASIDE, "blue")] * num_episodes, [0] * num_episodes)


def refuse_ended(ended: torch.Tensor, measured: str) -> None:
    """Raise where any of ``ended`` (num_envs,) bool episodes ended while ``measured`` was being measured.

    Raises:
        RuntimeError: naming the environments.
    """
    environments = ended.nonzero().flatten().tolist()
    if environments:
        raise RuntimeError(
            f"{measured}: {len(environments)} of {len(ended)} episodes ended before all was measured (environments "
            f"{environments}); give them a goal out of reach and enough control steps"
        )
