"""The hand rises off what it stands on, until it is clear of it."""

from __future__ import annotations

from collections.abc import Callable

import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.corrections.retreat import MOST_DECISIONS, Retreat, grasps_elsewhere
from flow_rag_vla.tasks.contract import NOTHING, Observation

LOW, CLEAR = [0.5, 0.0, 0.05], [0.5, 0.0, 0.30]


def test_who_retreats_goes_up_with_an_open_hand_until_it_is_clear(observe: Callable[..., Observation]) -> None:
    chunk = torch.randn(2, 8, 7, generator=torch.Generator().manual_seed(0))
    retreat = Retreat(2)
    low, clear = (observe(2, ee_pos_b=place, object_pos_b=[0.5, 0.0, 0.02]) for place in (LOW, CLEAR))
    starts, nobody = torch.tensor([True, False]), torch.tensor([False, False])
    rising = retreat.chunk(starts, chunk, low)
    assert (rising[0, :, [0, 1, 3, 4, 5]] == 0).all()
    assert (rising[0, :, [2, 6]] > 0).all()
    assert torch.equal(rising[1], chunk[1])
    assert not torch.equal(retreat.chunk(nobody, chunk, low)[0], chunk[0])
    assert torch.equal(retreat.chunk(nobody, chunk, clear), chunk)
    assert torch.equal(retreat.chunk(nobody, chunk, low), chunk)


def test_a_hand_that_is_held_down_gives_up(observe: Callable[..., Observation]) -> None:
    retreat, chunk = Retreat(1), torch.ones(1, 8, 7)
    low = observe(1, ee_pos_b=LOW, object_pos_b=[0.5, 0.0, 0.02])
    begins = [torch.tensor([decision == 0]) for decision in range(MOST_DECISIONS + 1)]
    own = [torch.equal(retreat.chunk(starts, chunk, low), chunk) for starts in begins]
    assert own == [False] * MOST_DECISIONS + [True]


def test_new_episodes_begin_without_a_retreat(observe: Callable[..., Observation]) -> None:
    retreat, chunk = Retreat(1), torch.ones(1, 8, 7)
    low = observe(1, ee_pos_b=LOW, object_pos_b=[0.5, 0.0, 0.02])
    retreat.chunk(torch.tensor([True]), chunk, low)
    retreat.reset()
    assert torch.equal(retreat.chunk(torch.tensor([False]), chunk, low), chunk)


def test_only_corrections_of_where_to_grasp_call_for_one() -> None:
    names = ("object_plus", "grasp_minus", "goal_plus", "grip_up_4", "none")
    candidate = torch.tensor([*(CANDIDATE_NAMES.index(name) for name in names), NOTHING])
    assert grasps_elsewhere(candidate).tolist() == [True, True, False, False, False, False]
