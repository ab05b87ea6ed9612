"""Cells played by hand: a letter an episode."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_rag_vla.benchmark.engines.cells import CellKey
from flow_rag_vla.benchmark.engines.outcomes import EpisodeEnd, PlayedCell
from flow_rag_vla.benchmark.episodes.records import Outcome
from flow_rag_vla.tasks.contract import FaultClass

type Played = Callable[..., PlayedCell]

OUTCOMES = {"s": (Outcome.SUCCESS, None), "f": (Outcome.FAILURE, "drop"), "i": (Outcome.INVALID, "pads too deep")}


@pytest.fixture
def played() -> Played:
    """``played("newton_mujoco", "ssfi")``: a success, another one, a failure and an episode with invalid physics."""

    def make(physics: str, letters: str, mm: tuple[float | None, ...] | None = None, **changes: str) -> PlayedCell:
        key = CellKey(physics, "expert", "pick_place", "slippery_object", FaultClass.AVOIDABLE)._replace(**changes)
        depths = mm or (0.5,) * len(letters)
        ends = [
            EpisodeEnd(f"s{i}", OUTCOMES[letter][0], depth, OUTCOMES[letter][1])
            for i, (letter, depth) in enumerate(zip(letters, depths, strict=True))
        ]
        return PlayedCell(key, "cpu", None, tuple(ends))

    return make
