"""What the learned detector sees: windows with the values they must have, and nothing that tells sites apart."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from flow_rag_vla.agents.detection.window import (
    EPISODE_BLOCKS,
    EXTREME_BLOCKS,
    INSTANT_BLOCKS,
    NUM_STATE_FEATURES,
    WINDOW_STEPS,
    WindowTracker,
)

ALL = torch.tensor([True])


def columns(kind: str, name: str) -> slice:
    blocks = {"instant": INSTANT_BLOCKS, "extreme": EXTREME_BLOCKS, "episode": EPISODE_BLOCKS}
    start = 0
    for group, members in blocks.items():
        for member, width in members:
            if (group, member) == (kind, name):
                return slice(start, start + width)
            start += width
    raise KeyError(name)


def follow(observations):
    tracker = WindowTracker(observations[0].num_envs)
    for o in observations:
        tracker.update(o, torch.ones(o.num_envs, dtype=torch.bool))
    return tracker.window


def test_a_window_begins_with_the_state_a_window_ago(observe):
    steps = [observe(gripper_width_m=[0.08 - 0.001 * i]) for i in range(WINDOW_STEPS + 5)]
    window = follow(steps)
    width = columns("instant", "gripper_width")
    assert window.before[0, width].item() == pytest.approx((0.08 - 0.001 * 4) / 0.02 - 2.0, abs=1e-5)
    assert window.after[0, width].item() == pytest.approx((0.08 - 0.001 * 20) / 0.02 - 2.0, abs=1e-5)
    assert window.before.shape == (1, NUM_STATE_FEATURES)


def test_before_the_first_window_is_full_it_begins_with_the_episode(observe):
    window = follow([observe(gripper_width_m=[0.08]), observe(gripper_width_m=[0.04])])
    width = columns("instant", "gripper_width")
    assert (window.before[0, width].item(), window.after[0, width].item()) == (2.0, 0.0)


def test_a_short_blow_stays_in_the_extremes_for_one_window(observe):
    blow, calm = observe(hand_force_b=[30.0, 0.0, 0.0]), observe()
    name = columns("extreme", "hand_force_across")
    felt = follow([calm, blow, *[calm] * (WINDOW_STEPS - 1)]).after[0, name].item()
    assert felt == pytest.approx(math.asinh(3.0))
    assert follow([calm, blow, *[calm] * WINDOW_STEPS]).after[0, name].item() == pytest.approx(0.0, abs=1e-6)


def test_the_mean_action_is_in_units_of_the_limits(observe):
    moving = observe(previous_action=[0.5 / 30, 0.0, 0.0, 0.0, 0.0, 0.0, -0.25])
    action = follow([moving] * WINDOW_STEPS).action[0]
    assert action.tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.25], abs=1e-6)


def test_an_ended_episode_keeps_its_last_window(observe):
    tracker = WindowTracker(2)
    both, first_only = torch.tensor([True, True]), torch.tensor([True, False])
    tracker.update(observe(2), both)
    kept = tracker.window.after[1].clone()
    for _ in range(WINDOW_STEPS + 1):
        tracker.update(observe(2, hand_force_b=[50.0, 0.0, 0.0]), first_only)
    assert torch.equal(tracker.window.after[1], kept)
    assert not torch.equal(tracker.window.after[0], kept)


def test_a_reset_episode_is_as_good_as_new(observe, carry):
    tracker = WindowTracker(1)
    for o in (observe(), *[carry((0.5, 0.0, 0.2))] * 20):
        tracker.update(o, ALL)
    assert bool(tracker.ever_held)
    tracker.reset(torch.tensor([0]))
    tracker.update(observe(), ALL)
    new = follow([observe()])
    for mine, fresh in zip(vars(tracker.window).values(), vars(new).values(), strict=True):
        assert torch.equal(mine, fresh)


def test_colours_places_and_instructions_are_not_seen(observe):
    here = observe()
    shift = torch.tensor([[0.1, -0.2, 0.0]])
    moved = {name: getattr(here, name) + shift for name in vars(here) if name.endswith("pos_b")}
    there = dataclasses.replace(
        here, **moved, object_rgb=1.0 - here.object_rgb, joint_pos=here.joint_pos + 1.0, instruction=("stack it",)
    )
    assert torch.allclose(follow([here] * 3).after, follow([there] * 3).after, atol=1e-5)
