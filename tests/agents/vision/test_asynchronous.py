from __future__ import annotations

import dataclasses
import threading

import pytest
import torch

from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder


class Gated:
    """Sees the brightness of the first pixel, when the gate lets it."""

    embedding_dim = 1

    def __init__(self):
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.seen = []

    def look(self, observation):
        self.begun.release()
        assert self.gate.acquire(timeout=10)
        value = float(observation.rgb[0, 0, 0, 0])
        self.seen.append(value)
        if value > 200:
            raise ValueError("too bright")
        return f"saw {value}", torch.full((observation.num_envs, 1), value)


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
    encoder._under_way.future.exception()


def test_the_first_call_waits_for_its_own_picture(encoder, gated, picture):
    gated.gate.release()
    answer = encoder.latest(picture(7))
    assert (answer.sighting, answer.embedding.tolist()) == ("saw 7.0", [[7.0]])
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


def test_a_result_comes_with_the_observation_that_it_was_made_of(encoder, gated, picture):
    gated.gate.release(2)
    encoder.latest(picture(1))
    then = dataclasses.replace(picture(2), ee_pos_b=torch.tensor([[0.1, 0.2, 0.3]]))
    encoder.latest(then)
    encoder._under_way.future.result()
    late = encoder.latest(picture(3))
    assert torch.equal(late.observation.ee_pos_b, then.ee_pos_b)
    assert torch.equal(late.observation.rgb, then.rgb)


def test_the_ages_of_a_run_are_kept_until_they_are_asked_for(encoder, gated, picture, clock):
    assert encoder.take_ages() == {"calls": 0, "age_ms": None, "age_calls": None}
    gated.gate.release()
    encoder.latest(picture(1))
    for now in (0.1, 0.3):
        clock.now = now
        encoder.latest(picture(2))
    ages = encoder.take_ages()
    # 0, 100 and 300 ms; 0, 1 and 2 calls; the 95th percentile lies nine tenths of the way to the last.
    assert ages["calls"] == 3
    assert ages["age_ms"] == {"p50": pytest.approx(100.0), "p95": pytest.approx(280.0)}
    assert ages["age_calls"] == {"p50": 1.0, "p95": pytest.approx(1.9)}
    assert encoder.take_ages()["calls"] == 0


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


def test_what_the_encoder_raises_reaches_the_caller_once(encoder, gated, picture):
    gated.gate.release(2)
    with pytest.raises(ValueError, match="too bright"):
        encoder.latest(picture(250))
    assert encoder.latest(picture(5)).embedding.item() == 5.0
    encoder.latest(picture(250))
    finish(encoder, gated)
    with pytest.raises(ValueError, match="too bright"):
        encoder.latest(picture(6))
    gated.gate.release()
    encoder.latest(picture(6))


def test_an_error_that_nobody_waited_for_is_raised_at_the_end(gated, picture):
    gated.gate.release(2)
    encoder = AsynchronousEncoder(gated)
    encoder.latest(picture(1))
    encoder.latest(picture(250))
    with pytest.raises(ValueError, match="too bright"):
        encoder.close()
    encoder.close()


def test_an_error_of_the_caller_is_not_hidden_by_one_of_the_worker(gated, picture):
    gated.gate.release(2)

    def fail():
        with AsynchronousEncoder(gated) as encoder:
            encoder.latest(picture(1))
            encoder.latest(picture(250))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()


def test_closing_ends_the_thread(gated, picture):
    gated.gate.release()
    before = set(threading.enumerate())
    with AsynchronousEncoder(gated) as encoder:
        encoder.latest(picture(1))
        (thread,) = set(threading.enumerate()) - before
    assert not thread.is_alive()


def test_reset_forgets_the_last_picture(encoder, gated, picture):
    gated.gate.release(2)
    encoder.latest(picture(1))
    encoder.reset()
    assert encoder.latest(picture(8, num_envs=2)).embedding.tolist() == [[8.0], [8.0]]
    with pytest.raises(ValueError, match="3 environments, the last result is of 2"):
        encoder.latest(picture(9, num_envs=3))


def test_reset_forgets_the_picture_under_way(encoder, gated, picture):
    gated.gate.release(3)
    encoder.latest(picture(1))
    encoder.latest(picture(2))
    encoder.reset()
    assert gated.seen == [1.0, 2.0]
    assert encoder.look(picture(3))[0] == "saw 3.0"
