"""When a hazard counts as having fired, from hand-made facts."""

from __future__ import annotations

from typing import Any

import pytest

from flow_rag_vla.tasks.env.events import LOST_STEPS, TOUCHED_FORCE_N

GOAL = (0.5, 0.20, 0.025)
ON_THE_WAY = (0.5, 0.0, 0.15)
HELD = {"force": 10.0, "closed": True}
OPEN = {"force": 0.0, "closed": False}
SLIPPED = {"force": 0.0, "closed": True}


@pytest.mark.parametrize("act", ["pushed", "broke", "forced_open", "actuation_altered"])
def test_a_hazard_that_acts_has_fired_for_the_rest_of_the_episode(begin, act: str):
    acting: dict[str, Any] = {act: True}
    episode = begin().carried()
    assert not episode.fired
    episode.steps(1, **HELD, **acting)
    assert episode.fired
    assert episode.steps(1, **HELD).fired


def test_an_obstacle_fires_when_it_is_touched_and_not_by_the_noise_of_a_contact(begin):
    assert not begin().steps(5, obstacle=TOUCHED_FORCE_N).fired
    assert begin().steps(1, obstacle=TOUCHED_FORCE_N + 0.1).fired


def test_a_latent_hazard_fires_with_the_failure_that_it_causes_and_not_before(begin):
    episode = begin().steps(3, latent=True, **HELD).steps(3, ON_THE_WAY, latent=True, **HELD)
    episode.steps(LOST_STEPS - 1, latent=True, **SLIPPED)
    assert not episode.fired
    episode.steps(1, latent=True, **SLIPPED)
    assert (episode.label, episode.fired) == ("drop", True)


def test_a_latent_hazard_that_the_policy_got_round_has_not_fired(begin):
    episode = begin().steps(3, latent=True, **HELD).steps(3, ON_THE_WAY, latent=True, **HELD)
    episode.steps(3, GOAL, latent=True, **HELD).steps(1, latent=True, **OPEN)
    assert (episode.success, episode.fired) == (True, False)


def test_a_failure_without_a_hazard_fires_nothing(begin):
    episode = begin().carried().steps(LOST_STEPS, **SLIPPED)
    assert (episode.label, episode.fired) == ("drop", False)
