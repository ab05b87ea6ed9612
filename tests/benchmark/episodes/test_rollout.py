"""Planned episodes and the agent that plays them, in a fleet without physics."""

from __future__ import annotations

import pytest

from flow_rag_vla.benchmark.episodes.chunk_executor import play_agent
from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.rollout import run_batch, run_batches
from flow_rag_vla.benchmark.episodes.told.expert_arm import ExpertAgent
from flow_rag_vla.tasks.scenarios.sites import make_site

SITE = make_site(0, "pick_place")


def planned(n: int, attempt: int = 0) -> list[PlannedEpisode]:
    scenarios = [SITE.scenario(10_000_000 + i) for i in range(n)]
    return [PlannedEpisode(Exposure.E1, scenario, scenario.id, attempt) for scenario in scenarios]


def run(fleet, agent, episodes, delay_ms=0.0, on_step=None):
    return run_batch(fleet, agent, Unit("flow_only", 0, fleet.num_envs, tuple(episodes)), episodes, delay_ms, on_step)


def executed(fleet) -> list[float]:
    """The first entry of the first environment's actions."""
    return [float(action[0, 0]) for action in fleet.actions]


def test_the_agent_is_reset_when_the_episodes_are_loaded_and_watches_every_step(fake_fleet, fake_agent):
    fleet = fake_fleet(2)
    run(fleet, fake_agent(fleet), planned(1))
    assert fleet.calls == ["load", "reset", "decide", "step", "watch", "step", "watch"]


def test_a_short_batch_is_padded_with_its_first_episode_which_leaves_no_record(fake_fleet, fake_agent):
    fleet = fake_fleet(3, 3, 3, 3)
    agent, episodes = fake_agent(fleet), planned(2, attempt=1)
    played = run(fleet, agent, episodes)
    scenarios = [episode.scenario for episode in (*episodes, episodes[0], episodes[0])]
    assert fleet.loaded == scenarios
    assert agent.noise_keys == [scenario.noise_key for scenario in scenarios]
    assert fleet.attempts == agent.attempts == [1] * 4
    assert [record.scenario_id for record in played.records] == [s.id for s in scenarios[:2]]


def test_a_batch_ends_with_the_last_planned_episode_whatever_its_padding_does(fake_fleet, fake_agent):
    fleet = fake_fleet(2, 3, 9)
    ended = []
    played = run(fleet, fake_agent(fleet), planned(2), on_step=ended.append)
    assert ended == [0, 1, 2]
    assert [(record.outcome, record.steps) for record in played.records] == [("success", 2), ("success", 3)]


def test_the_episodes_of_a_unit_run_in_batches_each_of_which_is_handed_over_before_the_next(fake_fleet, fake_agent):
    fleet, episodes = fake_fleet(1, 2), planned(3)
    agent, ended = fake_agent(fleet), []
    loads, batches = [], []
    unit = Unit("flow_only", 0, 7, tuple(episodes))  # planned for a fleet that is larger than this one
    for result in run_batches(fleet, agent, unit, 0.0, ended.append):
        loads.append(fleet.calls.count("load"))
        batches.append([record.scenario_id for record in result.records])
    ids = [episode.scenario.id for episode in episodes]
    assert (loads, batches) == ([1, 2], [ids[:2], ids[2:]])
    assert ended == [1, 2, 3]
    silent = list(run_batches(fake_fleet(1, 2), fake_agent(fleet), unit, 0.0))
    assert [len(result.records) for result in silent] == [2, 1]


def test_more_episodes_than_environments_are_refused_before_anything_is_loaded(fake_fleet, fake_agent):
    fleet = fake_fleet(1, 1)
    with pytest.raises(ValueError, match="expected 1 to 2 entries"):
        run(fleet, fake_agent(fleet), planned(3))
    assert not fleet.calls


def test_decisions_are_taken_when_the_last_ones_actions_have_run(fake_fleet, fake_agent):
    fleet = fake_fleet(9)
    agent = fake_agent(fleet)
    run(fleet, agent, planned(1))
    assert executed(fleet) == [100, 101, 102, 103, 200, 201, 202, 203, 300]
    assert [int(seen.joint_pos[0, 0]) for seen, _ in agent.decided_on] == [0, 4, 8]


def test_while_a_late_decision_is_under_way_the_chunk_before_it_runs_on(fake_fleet, fake_agent):
    """At 30 Hz 60 ms are two control steps; before the first chunk is there, the pose is held."""
    fleet = fake_fleet(8)
    run(fleet, fake_agent(fleet), planned(1), delay_ms=60.0)
    assert executed(fleet) == [0, 0, 102, 103, 104, 105, 202, 203]


def test_a_decision_that_outlasts_the_executed_actions_delays_the_next(fake_fleet, fake_agent):
    """At 30 Hz 200 ms are six control steps, and the agent would decide every fourth."""
    fleet = fake_fleet(13)
    agent = fake_agent(fleet)
    run(fleet, agent, planned(1), delay_ms=200.0)
    assert [int(seen.joint_pos[0, 0]) for seen, _ in agent.decided_on] == [0, 6, 12]


def test_the_agent_watches_what_followed_a_step_knowing_who_ran_before_it(fake_fleet, fake_agent):
    fleet = fake_fleet(1, 2)
    agent = fake_agent(fleet)
    run(fleet, agent, planned(2))
    assert [(int(seen.joint_pos[0, 0]), running) for seen, running in agent.watched] == [
        (1, [True, True]),
        (2, [False, True]),
    ]


def test_pictures_are_rendered_for_decisions_alone_and_only_for_who_needs_them(fake_fleet, fake_agent):
    fleet, blind = fake_fleet(6), fake_fleet(6)
    agent = fake_agent(fleet, needs_images=True)
    run(fleet, agent, planned(1))
    run(blind, fake_agent(blind), planned(1))
    assert fleet.calls.count("render") == 2
    assert [fleet.calls[i + 1] for i, call in enumerate(fleet.calls) if call == "render"] == ["decide", "decide"]
    assert all(seen.rgb is not None for seen, _ in agent.decided_on)
    assert all(seen.rgb is None for seen, _ in agent.watched)
    assert "render" not in blind.calls


def test_the_truth_is_told_before_the_reset_and_only_to_who_may_hear_it(fake_fleet, fake_agent):
    fleet, episodes = fake_fleet(1, 1), planned(1)
    told, untold = fake_agent(fleet, told_truth=True), fake_agent(fleet)
    run(fleet, told, episodes)
    assert told.told == [episodes[0].scenario] * 2
    assert fleet.calls[:3] == ["load", "tell", "reset"]
    run(fleet, untold, episodes)
    assert not untold.told


def test_only_an_agent_that_remembers_is_asked_for_its_failures(fake_fleet, fake_agent):
    fleet, episodes = fake_fleet(1, 1), planned(1)
    assert run(fleet, fake_agent(fleet, remembers=True), episodes).failures == {episodes[0].scenario.id: "case 0"}
    assert not run(fleet, fake_agent(fleet), episodes).failures


def test_an_episode_that_times_out_is_recorded_as_it_failed(fake_fleet, fake_agent):
    fleet = fake_fleet(99, max_episode_length=5)
    record = run(fleet, fake_agent(fleet), planned(1)).records[0]
    assert (record.outcome, record.failure_type, record.failure_phase) == ("failure", "timeout", "carry")
    assert (record.failure_step, record.failure_pose_bin, record.steps) == (5, "0,0,0", 5)


def test_an_agent_can_be_played_for_a_number_of_steps_whoever_has_ended(fake_fleet, fake_agent):
    fleet = fake_fleet(1, 2)
    scenarios = [episode.scenario for episode in planned(2)]
    fleet.load(scenarios, [0, 0])
    seen = []
    play_agent(fleet, fake_agent(fleet), scenarios, [0, 0], num_steps=6, after_step=lambda p: seen.append(p.index))
    assert seen == [0, 1, 2, 3, 4, 5]
    assert executed(fleet) == [100, 101, 102, 103, 200, 201]


def test_the_expert_is_told_every_scenario_and_decides_every_step(fake_fleet):
    fleet = fake_fleet(3, 3)
    expert = ExpertAgent(2, "cpu")
    assert expert.capabilities.told_truth
    assert not run(fleet, expert, planned(1)).failures
    assert expert.decide_seconds()[1] == 3
