"""Cells in a fleet without physics."""

from __future__ import annotations

import pytest

from flow_rag_vla.agents.arms.catalogue import EXPERT
from flow_rag_vla.benchmark.engines.cells import Assignment, plan_cells
from flow_rag_vla.benchmark.engines.play import fleet_size, make_actor, play_cells
from flow_rag_vla.tasks.catalogue.registry import get_task


def assigned(n: int) -> list[Assignment]:
    cells = plan_cells([get_task("pick_place")], ["none", "slippery_object"], n)
    return [Assignment("made_up", "expert", None, cell) for cell in cells]


@pytest.mark.parametrize(("episodes", "num_envs", "size"), [(12, 8, 6), (8, 8, 8), (3, 8, 3), (17, 8, 6), (1, 1, 1)])
def test_a_fleet_is_as_small_as_the_number_of_batches_allows(episodes, num_envs, size):
    assert fleet_size(episodes, num_envs) == size
    assert -(-episodes // size) == -(-episodes // num_envs)


def test_cells_share_batches_and_every_end_comes_back_to_its_cell(fake_fleet):
    """Six episodes in a fleet of four, the second environment of which is too slow: episodes 1 and 5 time out."""
    fleet = fake_fleet(2, 99, 3, 4, max_episode_length=5)
    assignments, ended = assigned(2), []
    found = play_cells(fleet, make_actor(EXPERT, fleet, None), assignments, ended.append)
    assert fleet.calls.count("load") == 2
    assert [cell.key for cell in found] == [assignment.key for assignment in assignments]
    assert [cell.scenario_ids for cell in found] == [assignment.cell.scenario_ids for assignment in assignments]
    outcomes = [[(end.outcome, end.reason) for end in cell.ends] for cell in found]
    good, late = ("success", None), ("failure", "timeout")
    assert outcomes == [[good, late], [good, good], [good, late]]
    assert {(cell.device, cell.checkpoint_sha256) for cell in found} == {("cpu", None)}
    assert {end.penetration_mm for cell in found for end in cell.ends} == {0.0}
    assert (ended == sorted(ended), ended[-1]) == (True, 6)
