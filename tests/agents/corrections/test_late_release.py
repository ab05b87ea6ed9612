"""A hand that has not arrived keeps hold of what its policy would let go of."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.corrections.late_release import MOST_S, LateRelease
from flow_rag_vla.tasks.contract import CONTROL_HZ, Observation

GOAL = [0.5, 0.2, 0.02]
BESIDE, THERE, FAR_OFF = [0.5, 0.16, 0.02], [0.5, 0.18, 0.02], [0.5, 0.0, 0.02]
EXECUTE = 4


def opening(at: int = 2) -> torch.Tensor:
    """(1, 8, 7) that closes, and opens from this action on."""
    chunk = torch.randn(1, 8, 7, generator=torch.Generator().manual_seed(0))
    chunk[:, :at, 6], chunk[:, at:, 6] = -0.25, 0.25
    return chunk


def holding(observe: Callable[..., Observation], place: list[float], force_n: float = 10.0) -> Observation:
    return observe(1, goal_pos_b=GOAL, object_pos_b=place, previous_action=[0.0] * 6 + [-0.5], grip_force_n=[force_n])


def candidate(name: str = "none") -> torch.Tensor:
    return torch.tensor([CANDIDATE_NAMES.index(name)])


def test_what_is_held_beside_the_goal_is_carried_on_with_the_grip_it_has(observe: Callable[..., Observation]) -> None:
    chunk = opening()
    kept = LateRelease(1, EXECUTE).chunk(chunk, holding(observe, BESIDE), candidate())
    assert kept[0, :, 6].tolist() == pytest.approx([-0.25] * 2 + [-0.5] * 6)
    assert torch.equal(kept[:, :, :6], chunk[:, :, :6])


@pytest.mark.parametrize(("place", "force_n", "command", "advised"), [
    (THERE, 10.0, 0.25, "none"),
    (FAR_OFF, 10.0, 0.25, "none"),
    (BESIDE, 0.0, 0.25, "none"),
    (BESIDE, 10.0, 0.04, "none"),
    (BESIDE, 10.0, 0.25, "goal_plus_half"),
])  # fmt: skip
def test_elsewhere_it_is_let_go_bit_by_bit_as_the_policy_would(observe, place, force_n, command, advised) -> None:
    chunk = opening()
    chunk[:, 2:, 6] = command
    held = holding(observe, place, force_n)
    assert torch.equal(LateRelease(1, EXECUTE).chunk(chunk, held, candidate(advised)), chunk)


def test_who_never_arrives_lets_go_after_a_while(observe: Callable[..., Observation]) -> None:
    release, chunk, held = LateRelease(1, EXECUTE), opening(), holding(observe, BESIDE)
    most = math.ceil(MOST_S * CONTROL_HZ / EXECUTE)
    kept = [not torch.equal(release.chunk(chunk, held, candidate("grip_up_4")), chunk) for _ in range(most + 1)]
    assert kept == [True] * most + [False]
    release.reset()
    assert not torch.equal(release.chunk(chunk, held, candidate()), chunk)


def test_an_opening_that_only_a_late_decision_would_run_is_put_off_and_not_counted(observe) -> None:
    release, chunk, held = LateRelease(1, EXECUTE), opening(EXECUTE), holding(observe, BESIDE)
    for _ in range(100):
        assert (release.chunk(chunk, held, candidate())[:, :, 6] < 0).all()


def test_each_row_is_its_own(observe: Callable[..., Observation]) -> None:
    chunk = opening().repeat(3, 1, 1)
    held = observe(
        3,
        goal_pos_b=GOAL,
        object_pos_b=[BESIDE, THERE, [math.nan] * 3],
        previous_action=[0.0] * 6 + [-0.5],
        grip_force_n=[10.0],
    )
    kept = LateRelease(3, EXECUTE).chunk(chunk, held, candidate().repeat(3))
    assert (kept[0, :, 6] < 0).all()
    assert torch.equal(kept[1:], chunk[1:])
