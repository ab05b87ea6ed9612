"""The loop that plays episodes, in a fleet without physics."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from flow_rag_vla.tasks.env.play import PlayedStep, play


def still(fleet):
    """Acts by doing nothing."""
    return lambda observation, step, running: torch.zeros(fleet.num_envs, 7)


def test_a_step_is_sense_act_step_and_then_the_hook(fake_fleet):
    fleet = fake_fleet(2)

    def act(observation, step, running):
        fleet.calls.append(f"act {step} on {int(observation.joint_pos[0, 0])}")
        return torch.full((1, 7), float(step))

    def after_step(played: PlayedStep):
        fleet.calls.append(f"after {played.index} sense {int(played.observation.joint_pos[0, 0])}")

    fleet.load(["any"], [0])
    play(fleet, act, after_step=after_step)
    assert fleet.calls == ["load", "act 0 on 0", "step", "after 0 sense 1", "act 1 on 1", "step", "after 1 sense 2"]
    assert [float(action[0, 0]) for action in fleet.actions] == [0.0, 1.0]


def test_who_acts_and_who_looks_on_are_told_who_ran_before_the_step(fake_fleet):
    fleet = fake_fleet(1, 2)
    acted, looked = [], []

    def act(observation, step, running):
        acted.append(running.tolist())
        return torch.zeros(2, 7)

    play(fleet, act, after_step=lambda played: looked.append(played.running.tolist()))
    assert acted == looked == [[True, True], [False, True]]


def test_play_ends_with_the_last_episode_and_counts_those_that_have_ended(fake_fleet):
    fleet = fake_fleet(3, 1, 3)
    ended = []
    play(fleet, still(fleet), after_step=lambda played: ended.append(played.ended))
    assert ended == [1, 1, 3]


def test_only_the_episodes_that_are_counted_are_waited_for(fake_fleet):
    fleet = fake_fleet(2, 4, 9, 9)
    ended = []
    play(fleet, still(fleet), count=2, after_step=lambda played: ended.append(played.ended))
    assert ended == [0, 1, 1, 2]


def test_an_episode_that_never_ends_is_played_to_the_fleets_limit(fake_fleet):
    fleet = fake_fleet(99, max_episode_length=5)
    play(fleet, still(fleet))
    assert fleet.calls == ["step"] * 5


def test_a_given_number_of_steps_is_played_whichever_episodes_end_and_none_is_counted(fake_fleet):
    fleet = fake_fleet(1, 2, max_episode_length=3)
    ended = []
    play(fleet, still(fleet), num_steps=7, after_step=lambda played: ended.append(played.ended))
    assert ended == [0] * 7


@pytest.mark.parametrize("count", [0, 3])
def test_waiting_for_more_episodes_than_there_are_or_for_none_is_refused(fake_fleet, count):
    fleet = fake_fleet(1, 1)
    with pytest.raises(ValueError, match=f"count is {count}, expected 1 to the fleet's 2"):
        play(fleet, still(fleet), count=count)
    assert not fleet.calls


def test_a_number_of_steps_and_a_number_of_episodes_exclude_one_another(fake_fleet):
    fleet = fake_fleet(1)
    with pytest.raises(ValueError, match="count or num_steps"):
        play(fleet, still(fleet), count=1, num_steps=1)


def test_the_loop_and_its_contract_load_neither_a_simulator_nor_torch():
    modules = ", ".join(f"flow_rag_vla.tasks.{name}" for name in ("contract", "env.fleet", "env.play", "env.batches"))
    program = f"import sys, {modules}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & {"torch", "isaaclab", "newton", "warp", "mujoco", "pxr"}
