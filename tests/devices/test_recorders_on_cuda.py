"""What records episodes on a pretended CUDA device: it carries them to the host, once, and mixes nothing."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.benchmark.datasets import collect_demonstrations
from flow_rag_vla.benchmark.detectors import failure_recording
from flow_rag_vla.benchmark.detectors.failure_recording import ChunkProbe, RecordingAgent, record_batch
from flow_rag_vla.benchmark.episodes.actors import make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import Unit, first_attempts
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.tasks.datasets import recording
from flow_rag_vla.tasks.datasets.demonstrations import (
    demonstration_plan,
    demonstration_scenarios,
    record_demonstrations,
)
from flow_rag_vla.tasks.expert.scripted_expert import ScriptedExpert
from flow_rag_vla.tasks.scenarios.sites import make_site

NUM_ENVS, STEPS, EXECUTE = 3, 5, 4


@pytest.fixture
def fleet(cuda: str, fake_fleet):
    """Three environments."""
    return fake_fleet(3, 5, 9, max_episode_length=STEPS, device=cuda)


def test_what_a_detector_would_have_seen_is_recorded_on_the_host_and_crosses_once_a_column(
    fleet, parts, waits, monkeypatch: pytest.MonkeyPatch
):
    arm = get_arm("flow_only")
    agent = make_policy_agent(arm, fleet, parts.policy, parts.settings)
    probe = ChunkProbe(parts.policy, EXECUTE, 0)
    recorder = RecordingAgent(agent, NUM_ENVS, STEPS, fleet.device, probe)
    site = make_site(0, "pick_place")
    episodes = first_attempts([site.scenario(10_000_000 + i) for i in range(NUM_ENVS)])
    crossed: list[list[str]] = []
    with ExitStack() as stack:

        def play_and_count_from_there(*args, **kwargs):
            played = run_batch(*args, **kwargs)
            crossed.append(stack.enter_context(waits("cuda")))
            return played

        monkeypatch.setattr(failure_recording, "run_batch", play_and_count_from_there)
        recorded = record_batch(fleet, recorder, Unit(arm.name, 0, NUM_ENVS, tuple(episodes)), episodes)
    assert len(recorder.looks) > 1
    # What was seen (five columns), the truth (four) and the rules' first alarms (three).
    assert crossed == [["aten::_to_copy"] * 12]
    columns = [value for value in vars(recorded).values() if isinstance(value, torch.Tensor)]
    assert {value.device.type for value in columns} == {"cpu"}


def test_demonstrations_are_recorded_and_saved(fleet, monkeypatch: pytest.MonkeyPatch, tmp_path):
    saved: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(collect_demonstrations, "save_file", lambda rows, path, metadata: saved.update(rows))
    path = tmp_path / "made.safetensors"
    path.with_suffix(".partial").touch()
    seeds = list(range(NUM_ENVS))
    episodes = record_demonstrations(
        fleet, demonstration_scenarios("pick_place", seeds), demonstration_plan("pick_place", seeds, fleet.device)
    )
    collect_demonstrations._save(episodes, episodes.success, "pick_place", seeds, path)
    assert {value.device.type for value in saved.values()} == {"cpu"}


def test_trajectories_are_recorded(fleet, monkeypatch: pytest.MonkeyPatch):
    state = {"joints": torch.zeros(NUM_ENVS, 9, device=fleet.device)}
    monkeypatch.setattr(recording, "scene_state", lambda env: state)
    # Nobody can tell how long an episode was: one of no steps is none.
    monkeypatch.setattr(recording, "Trajectory", lambda **values: values)
    site = make_site(0, "pick_place")
    scenarios = [site.scenario(i) for i in range(NUM_ENVS)]
    made = recording.record_trajectories(fleet, scenarios, ScriptedExpert(NUM_ENVS, fleet.device).act)
    assert len(made) == NUM_ENVS
