"""What a policy is told instead of the episode's own instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
import torch

from flow_rag_vla.agents.policy.features import observation_from_fields
from flow_rag_vla.benchmark.episodes.reworded import RewordedAgent
from flow_rag_vla.benchmark.policies.evaluate import spoken_instead
from flow_rag_vla.tasks.catalogue.registry import all_tasks

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.slug)
def test_held_out_texts_are_the_tasks_own_and_a_controls_those_of_another(task):
    assert spoken_instead(task.slug, "held_out") == task.held_out_instructions
    told = spoken_instead(task.name, "other_task")
    assert told in [other.instructions for other in all_tasks() if other is not task]


def test_an_unknown_wording_is_refused():
    with pytest.raises(ValueError, match="available: held_out, other_task"):
        spoken_instead("lift", "own")


class Listener:
    """An agent that keeps what it was told."""

    execute = 8

    def __init__(self):
        self.heard = []

    def decide(self, observation, running):
        self.heard.append(observation)
        return torch.zeros(len(running), 8, 7)


def test_environments_take_turns_in_being_told_the_wordings():
    listener = Listener()
    sensed = observation_from_fields({"joint_pos": torch.zeros(3, 7)})
    RewordedAgent(cast("Agent", listener), ("one", "two"), 3).decide(sensed, torch.ones(3))
    assert listener.heard[0].instruction == ("one", "two", "one")
    assert listener.heard[0].joint_pos is sensed.joint_pos
