"""Demonstrations in a fleet without physics: what is stored beside what is executed."""

from __future__ import annotations

import torch

from flow_rag_vla.tasks.datasets.demonstrations import (
    OBSERVATION_FIELDS,
    demonstration_plan,
    demonstration_scenarios,
    record_demonstrations,
)

SEEDS = list(range(8))


def record(fleet):
    plan = demonstration_plan("pick_place", SEEDS, "cpu")
    return record_demonstrations(fleet, demonstration_scenarios("pick_place", SEEDS), plan)


def test_labels_are_undisturbed_and_executed_actions_differ_from_them_where_it_says_so(fake_fleet):
    fleet = fake_fleet(*[60] * 8, max_episode_length=80)
    episodes = record(fleet)
    executed = torch.stack(fleet.actions, dim=1)
    differs = (executed != episodes.actions).any(dim=2)
    assert episodes.disturbed.any()
    assert not episodes.disturbed.all()
    assert torch.equal(differs, episodes.disturbed)
    assert torch.equal(executed[..., 6], episodes.actions[..., 6])


def test_a_demonstration_is_as_long_as_the_longest_and_knows_when_each_has_ended(fake_fleet):
    fleet = fake_fleet(3, 5, 4, *[2] * 5)
    episodes = record(fleet)
    assert episodes.actions.shape == (8, 5, 7)
    assert {name: value.shape[1] for name, value in episodes.observations.items()} == dict.fromkeys(
        OBSERVATION_FIELDS, 5
    )
    assert episodes.length.tolist() == [3, 5, 4, *[2] * 5]
    assert episodes.success.all()
