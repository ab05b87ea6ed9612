from __future__ import annotations

import dataclasses
import threading

import pytest
import torch

from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder


class Gated:
    """Encodes an observation as the brightness of its first pixel, when the gate lets it."""

    embedding_dim = 1

    def __init__(self):
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.seen = []

    def encode(self, observation):
        self.begun.release()
        assert self.gate.acquire(timeout=10)
        value = float(observation.rgb[0, 0, 0, 0])
        self.seen.append(value)
        if value > 200:
            raise ValueError("too bright")
        return torch.full((observation.num_envs, 1), value)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def gated():
    return Gated()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def encoder(gated, clock):
    with AsynchronousEncoder(gated, clock) as encoder:
        yield encoder
        gated.gate.release(10)


@pytest.fixture
def picture(observe):
    def make(value, num_envs=1):
        rgb = torch.full((num_envs, 2, 2, 3), value, dtype=torch.uint8)
        return dataclasses.replace(observe(num_envs), rgb=rgb)

    return make


def finish(encoder, gated):
    """Let the picture under way through, and wait for it."""
    gated.gate.release()
    encoder._under_way.future.result()


def test_the_first_call_waits_for_its_own_picture(encoder, gated, picture):
    gated.gate.release()
    answer = encoder.latest(picture(7))
    assert answer.embedding.tolist() == [[7.0]]
    assert answer.age_calls == 0


def test_later_calls_answer_with_the_newest_result_and_its_age(encoder, gated, picture, clock):
    gated.gate.release()
    encoder.latest(picture(1))
    clock.now = 1.0
    assert encoder.latest(picture(2)).embedding.item() == 1.0
    clock.now = 1.5
    waiting = encoder.latest(picture(3))
    assert (waiting.embedding.item(), waiting.age_calls, waiting.age_s) == (1.0, 2, 1.5)
    finish(encoder, gated)
    clock.now = 2.0
    answer = encoder.latest(picture(4))
    assert (answer.embedding.item(), answer.age_calls, answer.age_s) == (2.0, 2, 1.0)


def test_pictures_that_come_while_the_worker_is_busy_are_passed_over(encoder, gated, picture):
    gated.gate.release()
    encoder.latest(picture(1))
    for value in (2, 3, 4):
        encoder.latest(picture(value))
    finish(encoder, gated)
    encoder.latest(picture(5))
    finish(encoder, gated)
    assert encoder.latest(picture(6)).embedding.item() == 5.0
    assert gated.seen[:3] == [1.0, 2.0, 5.0]


def test_the_worker_reads_a_copy(encoder, gated, picture):
    gated.gate.release()
    encoder.latest(picture(1))
    shown = picture(2)
    gated.begun.acquire(timeout=10)
    encoder.latest(shown)
    assert gated.begun.acquire(timeout=10)
    shown.rgb.fill_(99)
    finish(encoder, gated)
    assert encoder.latest(picture(3)).embedding.item() == 2.0


def test_what_the_encoder_raises_reaches_the_caller(encoder, gated, picture):
    gated.gate.release(2)
    with pytest.raises(ValueError, match="too bright"):
        encoder.latest(picture(250))
    assert encoder.latest(picture(5)).embedding.item() == 5.0


def test_reset_forgets_the_last_picture(encoder, gated, picture):
    gated.gate.release(2)
    encoder.latest(picture(1))
    encoder.reset()
    assert encoder.latest(picture(8, num_envs=2)).embedding.tolist() == [[8.0], [8.0]]
    with pytest.raises(ValueError, match="3 environments, the last result is of 2"):
        encoder.latest(picture(9, num_envs=3))
