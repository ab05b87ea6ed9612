"""The hand rises off what it stands on, until it is clear of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.corrections.retreat import (
    MOST_DECISIONS,
    SECOND_TRY_S,
    Retreat,
    SecondTry,
    grasps_elsewhere,
)
from flow_rag_vla.agents.detection.alarm import FailureAlarm
from flow_rag_vla.tasks.contract import CONTROL_HZ, FAILURE_TYPES, NOTHING, Observation

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


def alarm(kind: str) -> FailureAlarm:
    """One episode that felt a failure of this kind."""
    nothing = FailureAlarm.none(1)
    return dataclasses.replace(
        nothing, mask=~nothing.mask, failure_type=torch.full_like(nothing.failure_type, FAILURE_TYPES.index(kind))
    )


def standing(observe: Callable[..., Observation]) -> Observation:
    """An open hand on top of a cube that presses it up."""
    return observe(1, ee_pos_b=[0.5, 0.0, 0.06], object_pos_b=[0.5, 0.0, 0.02], hand_force_b=[0.0, 0.0, 40.0])


EXECUTE = 8
MOST = math.ceil(SECOND_TRY_S * CONTROL_HZ / EXECUTE)


def looks(felt: FailureAlarm, seen: list[Observation]) -> list[tuple[bool, bool]]:
    """Who stands on the object and who has a second try before them, at each decision."""
    second_try, told = SecondTry(1, EXECUTE), []
    for observed in seen:
        second_try.look(felt, observed)
        told.append((bool(second_try.standing), bool(second_try.pending)))
    return told


def test_a_second_try_lasts_until_the_hand_stands_on_the_object_again(observe: Callable[..., Observation]) -> None:
    stands, clear = standing(observe), observe(1, ee_pos_b=CLEAR, object_pos_b=[0.5, 0.0, 0.02])
    seen = [clear, stands, stands, clear, clear, clear, stands, stands, clear]
    told = looks(alarm("grasp_failure"), seen)
    assert [rises for rises, _ in told] == [o is stands for o in seen]
    # The hand still stands there once while it begins to rise: that is no second failure.
    assert [pending for _, pending in told] == [False, True, True, True, True, True, False, False, False]


@pytest.mark.parametrize(("place", "grip", "force_n", "over"), [
    ([0.5, 0.0, 0.02], 0.25, 0.0, True),
    ([0.5, 0.2, 0.17], 0.25, 0.0, True),
    ([0.5, 0.0, 0.30], -0.25, 10.0, False),
    ([0.5, 0.19, 0.02], 0.25, 0.0, False),
])  # fmt: skip
def test_a_second_try_that_neither_holds_the_object_nor_has_brought_it_to_the_goal_is_over_after_a_while(
    observe: Callable[..., Observation], place: list[float], grip: float, force_n: float, over: bool
) -> None:
    seen = observe(
        1,
        ee_pos_b=CLEAR,
        object_pos_b=place,
        goal_pos_b=[0.5, 0.2, 0.02],
        previous_action=[0.0] * 6 + [grip],
        grip_force_n=[force_n],
    )
    told = looks(alarm("grasp_failure"), [standing(observe), *[seen] * MOST])
    assert [pending for _, pending in told] == [True] * MOST + [not over]


def test_a_second_try_that_held_the_object_and_lost_it_is_over(observe: Callable[..., Observation]) -> None:
    clear = observe(1, ee_pos_b=CLEAR, object_pos_b=[0.5, 0.0, 0.02])
    holds = observe(1, ee_pos_b=CLEAR, object_pos_b=CLEAR, previous_action=[0.0] * 6 + [-0.25], grip_force_n=[10.0])
    told = looks(alarm("grasp_failure"), [standing(observe), *[holds] * (2 * MOST), clear])
    assert [pending for _, pending in told] == [True] * (2 * MOST + 1) + [False]


def test_only_a_failed_grasp_is_tried_again_and_only_in_its_own_episode(observe: Callable[..., Observation]) -> None:
    for felt in (alarm("collision"), FailureAlarm.none(1)):
        assert looks(felt, [standing(observe)]) == [(False, False)]
    second_try, felt = SecondTry(2, EXECUTE), alarm("grasp_failure")
    one = dataclasses.replace(
        FailureAlarm.none(2),
        mask=torch.tensor([True, False]),
        failure_type=torch.cat([felt.failure_type, torch.tensor([NOTHING])]),
    )
    both = observe(2, ee_pos_b=[0.5, 0.0, 0.06], object_pos_b=[0.5, 0.0, 0.02], hand_force_b=[0.0, 0.0, 40.0])
    second_try.look(one, both)
    assert second_try.standing.tolist() == [True, False]
    assert second_try.pending.tolist() == [True, False]
    second_try.reset()
    assert second_try.pending.tolist() == [False, False]
