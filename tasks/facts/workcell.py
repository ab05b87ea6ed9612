"""Tags of work cells: what a robot knows of where it stands."""

from __future__ import annotations

from functools import lru_cache

from flow_rag_vla.tasks.contract import WORKCELL_DIM
from flow_rag_vla.tasks.facts.randomness import keyed_generator


@lru_cache(maxsize=4096)
def workcell_tag(site: int) -> tuple[float, ...]:
    """(WORKCELL_DIM,) standard normal numbers that ``site`` names: those of two sites lie about 5.6 apart."""
    return tuple(keyed_generator("workcell", site).standard_normal(WORKCELL_DIM).tolist())
