"""Memories of agents: of their corrections, and of no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.memory.failure_memory import FailureMemory

SETTINGS = ArmSettings(AgentSettings(max_cases=7))


def test_a_memory_goes_on_from_its_file_with_the_agents_limits(tmp_path: Path) -> None:
    new_memory(SETTINGS, 8).save(tmp_path / "memory.sqlite")
    again = new_memory(SETTINGS, 8, tmp_path / "memory.sqlite")
    assert (again.num_candidates, again.horizon, again.max_size) == (len(CANDIDATES), 8, 7)


def test_a_memory_of_other_corrections_is_refused(tmp_path: Path) -> None:
    FailureMemory(horizon=8, num_candidates=3).save(tmp_path / "old.sqlite")
    with pytest.raises(ValueError, match=f"tells 3 corrections apart, expected {len(CANDIDATES)}"):
        new_memory(SETTINGS, 8, tmp_path / "old.sqlite")
