"""Pictures that arrive late: what they say of the object, and what they can no longer say."""

from __future__ import annotations

import threading

import pytest
import torch

from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder
from flow_rag_vla.agents.vision.asynchronous_percept import AsynchronousPercept, make_percept
from flow_rag_vla.agents.vision.percept import IN_HAND_GAIN, VisualPercept

REST = (0.50, -0.25, 0.03)


class SlowEyes:
    """Sees what it is told to, when it is let."""

    embedding_dim = 1
    late = None

    def __init__(self):
        self.answers = []
        self.gate = threading.Semaphore(0)

    def look(self, observation):
        assert self.gate.acquire(timeout=10)
        return self.answers.pop(0), torch.zeros(observation.num_envs, 1)


@pytest.fixture
def eyes():
    return SlowEyes()


@pytest.fixture
def worker(eyes, seeing):
    with AsynchronousEncoder(eyes) as worker:
        yield worker
        eyes.answers += [seeing(REST)] * 9
        eyes.gate.release(9)


@pytest.fixture
def percept(worker):
    return AsynchronousPercept(worker, 1)


@pytest.fixture
def first(percept, eyes, observe, seeing):
    """The first decision, with an object at rest; its picture is waited for."""
    eyes.answers.append(seeing(REST))
    eyes.gate.release()
    return percept.look(observe())


@pytest.fixture
def arrive(eyes, worker, seeing):
    """The picture under way shows this, and is done."""

    def show(*args, **kwargs):
        eyes.answers.append(seeing(*args, **kwargs))
        eyes.gate.release()
        worker._under_way.future.result()

    return show


def place(observation):
    return observation.object_pos_b[0].tolist()


def test_the_first_decision_waits_for_its_own_picture(first):
    assert place(first) == pytest.approx(REST)


def test_each_picture_is_taken_in_once(percept, observe, first, arrive):
    """Two sightings of 3 mm spread, 0.500 and 0.506 m: their mean, however often the second is the newest."""
    percept.look(observe())
    arrive((0.506, -0.25, 0.03))
    for _ in range(3):
        seen = percept.look(observe())
        assert place(seen)[0] == pytest.approx(0.503, abs=1e-6)


def test_a_late_picture_of_what_is_held_is_compared_with_the_hand_of_then(percept, carry, first, arrive):
    percept.follow(carry(REST))
    percept.look(carry((0.50, -0.25, 0.20)))
    # The hand has gone on by 0.4 m, along and across the fingers, when the picture is done.  It shows the object 8 mm
    # beside where the hand was.
    arrive((0.508, -0.25, 0.20))
    far = carry((0.60, 0.15, 0.20))
    percept.follow(far)
    seen = percept.look(far)
    assert place(seen) == pytest.approx([0.60 + IN_HAND_GAIN * 0.008, 0.15, 0.20], abs=1e-6)


def test_a_late_picture_shows_that_what_was_held_has_been_lost(percept, carry, first, arrive):
    percept.follow(carry(REST))
    percept.look(carry((0.50, -0.05, 0.20)))
    arrive((0.50, -0.25, 0.03))
    seen = percept.look(carry((0.50, 0.00, 0.20)))
    assert place(seen)[2] == pytest.approx(0.03, abs=1e-6)


def test_a_picture_from_before_the_grasp_moves_nothing(percept, observe, carry, first, arrive):
    percept.look(observe())
    percept.follow(carry(REST))
    percept.follow(carry((0.50, 0.10, 0.20)))
    arrive((0.51, -0.25, 0.03), rgb=(0.0, 0.1, 0.1))
    seen = percept.look(carry((0.50, 0.10, 0.20)))
    assert place(seen) == pytest.approx([0.50, 0.10, 0.20], abs=1e-6)
    # What it looks like does not depend on where it is.
    assert seen.object_rgb[0, 0].item() == pytest.approx(0.4)


def test_a_picture_from_before_the_release_moves_nothing(percept, observe, carry, first, arrive):
    percept.follow(carry(REST))
    percept.look(carry((0.50, 0.00, 0.20)))
    percept.follow(carry((0.50, 0.20, 0.03)))
    away = observe(ee_pos_b=[0.50, 0.20, 0.15])
    percept.follow(away)
    arrive((0.50, 0.00, 0.20))
    seen = percept.look(away)
    assert place(seen) == pytest.approx([0.50, 0.20, 0.03], abs=1e-6)


def test_a_picture_after_the_release_counts_again(percept, observe, carry, first, arrive):
    percept.follow(carry(REST))
    percept.follow(carry((0.50, 0.20, 0.03)))
    away = observe(ee_pos_b=[0.50, 0.20, 0.15])
    percept.follow(away)
    percept.look(away)
    arrive((0.60, 0.20, 0.03))
    assert place(percept.look(away))[0] == pytest.approx(0.60, abs=1e-6)


def test_no_picture_of_an_earlier_episode_enters_a_new_one(percept, eyes, observe, seeing, first):
    """A picture is under way when the episode ends; the next one sees its own first picture alone."""
    percept.look(observe())
    eyes.answers += [seeing((0.50, 0.20, 0.03), rgb=(0.0, 0.0, 0.0)), seeing((0.60, -0.10, 0.03), rgb=(1.0, 1.0, 1.0))]
    eyes.gate.release(2)
    percept.reset()
    seen = percept.look(observe())
    assert place(seen) == pytest.approx([0.60, -0.10, 0.03])
    assert seen.object_rgb[0].tolist() == pytest.approx([1.0] * 3)


def test_without_delay_it_believes_what_a_percept_that_waits_believes(percept, eyes, seeing, observe, carry):
    """Every picture is done before the next decision asks: at rest, the beliefs are the same, one decision later."""
    waiting = VisualPercept(eyes, 1)
    shown = [(0.500, -0.25, 0.03), (0.504, -0.25, 0.03), (0.60, -0.10, 0.03)]
    eyes.gate.release(2 * len(shown) + 1)
    eyes.answers += [seeing(pos, yaw=0.1) for pos in shown]
    expected = [waiting.look(observe()) for _ in shown]
    eyes.answers += [seeing(pos, yaw=0.1) for pos in (*shown, shown[-1])]
    percept.look(observe())
    late = []
    for _ in shown:
        late.append(percept.look(observe()))
        percept._worker._under_way.future.result()
    for seen, before in zip(late, expected, strict=True):
        assert torch.equal(seen.object_pos_b, before.object_pos_b)
        assert torch.equal(seen.object_quat_b, before.object_quat_b)


def test_the_encoder_decides_how_is_seen(worker, eyes):
    assert type(make_percept(worker, 1)) is AsynchronousPercept
    assert type(make_percept(eyes, 1)) is VisualPercept
