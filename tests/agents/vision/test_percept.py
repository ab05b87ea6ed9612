from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from flow_rag_vla.agents.vision.percept import IN_HAND_GAIN, VisualPercept
from flow_rag_vla.agents.vision.sighted_agent import SightedAgent

DOWN = [1.0, 0.0, 0.0, 0.0]
"""Half a turn about x: the hand points down, its finger axis along -y."""


class Eyes:
    """Sees what it is told to; keeps what it was shown."""

    def __init__(self):
        self.next = None
        self.shown = []

    def look(self, observation):
        self.shown.append(observation)
        return self.next, torch.zeros(observation.num_envs, 512)


@pytest.fixture
def eyes():
    return Eyes()


@pytest.fixture
def percept(eyes):
    return VisualPercept(eyes, 1)


@pytest.fixture
def look(percept, eyes, seeing):
    def show(observation, *args, **kwargs):
        eyes.next = seeing(*args, **kwargs)
        return percept.look(observation)

    return show


def test_the_first_picture_is_believed(look, observe):
    seen = look(observe(), (0.51, -0.25, 0.03), yaw=0.2)
    assert seen.object_pos_b[0].tolist() == pytest.approx([0.51, -0.25, 0.03])
    assert seen.object_quat_b[0].tolist() == pytest.approx([0.0, 0.0, math.sin(0.1), math.cos(0.1)], abs=1e-6)
    assert seen.object_rgb[0].tolist() == pytest.approx([0.8, 0.1, 0.1])
    assert seen.rgb is None


def test_pictures_of_an_object_at_rest_are_averaged_by_their_sureness(look, observe):
    look(observe(), (0.500, -0.25, 0.03), spread=0.002)
    seen = look(observe(), (0.505, -0.25, 0.03), spread=0.004)
    # Weights 1 / 0.002^2 and 1 / 0.004^2: four to one.
    assert seen.object_pos_b[0, 0].item() == pytest.approx(0.501, abs=1e-6)


def test_an_object_seen_elsewhere_has_moved(look, observe):
    look(observe(), (0.50, -0.25, 0.03))
    seen = look(observe(), (0.50, 0.20, 0.03))
    assert seen.object_pos_b[0].tolist() == pytest.approx([0.50, 0.20, 0.03])


def test_a_picture_that_says_nothing_does_not_move_an_object(look, observe):
    look(observe(), (0.50, -0.25, 0.03), spread=0.002)
    seen = look(observe(), (0.50, 0.00, 0.03), spread=0.1)
    assert seen.object_pos_b[0, 1].item() == pytest.approx(-0.25, abs=1e-3)


def test_size_and_colour_are_averaged_over_the_episode(look, observe):
    look(observe(), (0.5, -0.25, 0.03), size=(0.04, 0.05, 0.05), rgb=(0.6, 0.1, 0.1))
    seen = look(observe(), (0.5, 0.2, 0.03), size=(0.06, 0.05, 0.05), rgb=(1.0, 0.1, 0.1))
    assert seen.object_size_m[0, 0].item() == pytest.approx(0.05)
    assert seen.object_rgb[0, 0].item() == pytest.approx(0.8)


def test_the_hand_carries_the_object_along_between_pictures(look, percept, observe, carry):
    look(observe(), (0.51, -0.25, 0.03))
    percept.follow(carry((0.50, -0.25, 0.03)))
    seen = percept.follow(carry((0.55, 0.10, 0.20)))
    assert seen.object_pos_b[0].tolist() == pytest.approx([0.56, 0.10, 0.20], abs=1e-6)


def test_closed_fingers_know_that_the_object_is_between_them(look, percept, observe, carry):
    look(observe(), (0.51, -0.22, 0.03))
    seen = percept.follow(carry((0.50, -0.25, 0.03)))
    assert seen.object_pos_b[0].tolist() == pytest.approx([0.51, -0.25, 0.03], abs=1e-6)


def test_the_object_turns_with_the_hand(look, percept, observe, carry):
    look(observe(), (0.50, -0.25, 0.03), yaw=0.1)
    percept.follow(carry((0.50, -0.25, 0.03), ee_quat_b=DOWN))
    turned = [math.cos(0.15), math.sin(0.15), 0.0, 0.0]
    seen = percept.follow(carry((0.50, -0.25, 0.03), ee_quat_b=turned))
    assert seen.object_quat_b[0].tolist() == pytest.approx([0.0, 0.0, math.sin(0.2), math.cos(0.2)], abs=1e-6)


def test_a_picture_corrects_slowly_where_in_the_hand_the_object_is(look, percept, observe, carry):
    look(observe(), (0.50, -0.25, 0.03))
    percept.follow(carry((0.50, -0.25, 0.03)))
    seen = look(carry((0.50, -0.25, 0.03)), (0.508, -0.25, 0.03))
    assert seen.object_pos_b[0, 0].item() == pytest.approx(0.50 + IN_HAND_GAIN * 0.008, abs=1e-6)


def test_an_object_seen_far_from_the_closed_hand_was_lost(look, percept, observe, carry):
    look(observe(), (0.50, -0.25, 0.03))
    percept.follow(carry((0.50, -0.25, 0.20)))
    seen = look(carry((0.50, -0.05, 0.20)), (0.50, -0.05, 0.03))
    assert seen.object_pos_b[0, 2].item() == pytest.approx(0.03, abs=1e-6)


def test_a_released_object_stays_where_it_was_put(look, percept, observe, carry):
    look(observe(), (0.50, -0.25, 0.03))
    percept.follow(carry((0.50, -0.25, 0.03)))
    percept.follow(carry((0.50, 0.20, 0.03)))
    seen = percept.follow(observe(ee_pos_b=[0.50, 0.20, 0.15]))
    assert seen.object_pos_b[0].tolist() == pytest.approx([0.50, 0.20, 0.03], abs=1e-6)


def test_reset_forgets_the_last_episode(look, percept, observe):
    look(observe(), (0.50, -0.25, 0.03), rgb=(0.0, 0.0, 0.0))
    percept.reset()
    seen = look(observe(), (0.505, -0.25, 0.03), rgb=(1.0, 1.0, 1.0))
    assert seen.object_pos_b[0, 0].item() == pytest.approx(0.505)
    assert seen.object_rgb[0].tolist() == pytest.approx([1.0] * 3)


class Recorder:
    """An agent that only keeps what it is given."""

    execute = 8

    def __init__(self):
        self.given = []

    def reset(self, noise_keys, attempts):
        self.given.clear()

    def decide(self, observation, running):
        self.given.append(observation)
        return torch.zeros(1, 8, 7)

    def watch(self, observation, running):
        self.given.append(observation)


@pytest.fixture
def recorder():
    return Recorder()


def test_a_sighted_agent_never_reads_the_state_that_the_simulator_perceives(percept, eyes, observe, recorder, seeing):
    """The object fields of the observation are NaN: nothing that the agent is given may depend on them."""
    nan = {name: [math.nan] * n for name, n in {"object_pos_b": 3, "object_quat_b": 4, "object_size_m": 3}.items()}
    blind = observe(**nan, object_rgb=[math.nan] * 3)
    agent = SightedAgent(recorder, percept)
    agent.reset(["a"], [0])
    eyes.next = seeing((0.5, -0.25, 0.03))
    running = torch.ones(1, dtype=torch.bool)
    agent.decide(blind, running)
    agent.watch(blind, running)
    assert len(recorder.given) == 2
    for given in recorder.given:
        for item in dataclasses.fields(given):
            value = getattr(given, item.name)
            if isinstance(value, torch.Tensor):
                assert value.isfinite().all(), item.name


def test_a_sighted_agent_is_told_its_goal(percept, eyes, observe, recorder, seeing):
    agent = SightedAgent(recorder, percept)
    agent.reset(["a"], [0])
    eyes.next = seeing((0.5, -0.25, 0.03))
    agent.decide(observe(goal_pos_b=[0.6, 0.2, 0.025]), torch.ones(1, dtype=torch.bool))
    assert recorder.given[0].goal_pos_b[0].tolist() == pytest.approx([0.6, 0.2, 0.025])
