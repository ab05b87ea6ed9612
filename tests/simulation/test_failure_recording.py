"""Recorded episodes: rows end with their episode, types are the simulator's, and watching changes nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY
from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR, load_detector
from flow_rag_vla.agents.detection.window import SCORE_EVERY
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.benchmark.detectors.failure_plan import failure_scenarios
from flow_rag_vla.benchmark.detectors.failure_recording import ChunkProbe, RecordingAgent, record_batch
from flow_rag_vla.benchmark.detectors.fit import scorer_scores
from flow_rag_vla.benchmark.detectors.metrics import first_alarms, measure
from flow_rag_vla.benchmark.episodes.actors import default_arm_settings, make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import Unit, first_attempts
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.episodes.seeds import require_split

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.benchmark.detectors.failure_set import FailureSet
    from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

pytestmark = pytest.mark.sim


@dataclasses.dataclass(frozen=True)
class Watched:
    """One batch, unwatched by all but the rules, and again recorded of a policy that has the learned detector."""

    plain: list[EpisodeRecord]
    recorded: FailureSet
    agent: Agent
    """As the recorded batch left it."""


@pytest.fixture(scope="module")
def watched(fleet: ManipulationEnv) -> Watched:
    scenarios = failure_scenarios("pick_place", "train", 498, fleet.num_envs)
    require_split([s.layout_seed for s in scenarios], "train")
    episodes = first_attempts(scenarios)
    policy = load_checkpoint(DEFAULT_CHECKPOINT)
    settings = default_arm_settings(policy.flow.horizon, "pick_place")
    unit = Unit("flow_only", 0, fleet.num_envs, tuple(episodes))
    unwatched = make_policy_agent(FLOW_ONLY, fleet, policy, settings)
    plain = run_batch(fleet, unwatched, unit, episodes, 0.0).records
    learned = dataclasses.replace(settings, detector=load_detector(DEFAULT_DETECTOR))
    agent = make_policy_agent(FLOW_ONLY, fleet, policy, learned, remembers=True)
    probe = ChunkProbe(policy, agent.execute, 0)
    recorder = RecordingAgent(agent, fleet.num_envs, fleet.max_episode_length, "cpu", probe)
    return Watched(plain, record_batch(fleet, recorder, unit, episodes), agent)


def test_a_recorded_batch_is_the_batch_that_runs_unwatched(watched):
    plain, recorded = watched.plain, watched.recorded
    valid = [r for r in plain if r.valid]
    assert recorded.steps.tolist() == [r.steps for r in valid]
    assert recorded.failed.tolist() == [r.failed for r in valid]
    assert recorded.faults == tuple(r.fault for r in valid)
    assert 0 < int(recorded.failed.sum()) < len(valid)
    for i, record in enumerate(valid):
        steps = recorded.step[recorded.episode == i]
        grid = torch.arange(SCORE_EVERY, record.steps, SCORE_EVERY)
        assert steps.tolist() == [*grid.tolist(), record.steps]
        if record.failed:
            assert recorded.failure_step[i] == record.failure_step
    assert bool(torch.isfinite(recorded.after).all())
    assert bool(torch.isfinite(recorded.chunk).all())
    assert float(recorded.chunk.max()) > 0.0


def test_the_detector_at_work_alarms_where_the_recorded_episodes_say(fleet, watched):
    recorded, agent = watched.recorded, watched.agent
    detector = load_detector(DEFAULT_DETECTOR)
    assert recorded.num_episodes == fleet.num_envs
    expected = first_alarms(scorer_scores(detector.scorer, recorded), detector.limits, recorded)
    notes = agent.notes()
    # Recorded windows are rounded to float16: a score next to its threshold may fall on the other side.
    same = (notes.failure_step == expected.alarm_step) & (notes.failure_type == expected.alarm_type)
    assert int(same.sum()) >= fleet.num_envs - 2
    # Layouts that it was not fitted to: it notices most failures, names most of them, and leaves most successes alone.
    found = measure(expected, recorded)
    assert found.named is not None
    assert found.detected.n > 5
    assert found.detected.k > 0.7 * found.detected.n
    assert found.named.k > 0.5 * found.named.n
    assert found.false_alarms.k < 0.3 * found.false_alarms.n
    # What is remembered was noticed, in episodes that ended without the object at its goal.
    remembered = agent.failures()
    assert remembered
    assert all(int(notes.failure_step[i]) >= 0 and bool(agent.seems_failed()[i]) for i in remembered)


def test_without_a_probe_chunk_distances_are_missing(fleet, watched):
    recorder = RecordingAgent(watched.agent, fleet.num_envs, fleet.max_episode_length, "cpu", None)
    scenarios = failure_scenarios("pick_place", "train", 498, fleet.num_envs)
    seen, running = fleet.load(scenarios, [0] * fleet.num_envs), torch.ones(fleet.num_envs, dtype=torch.bool)
    recorder.reset([s.noise_key for s in scenarios], [0] * fleet.num_envs)
    recorder.decide(seen, running)
    for _ in range(SCORE_EVERY):
        recorder.watch(seen, running)
    assert recorder.looks
    assert all(bool(torch.isnan(look.chunk).all()) for look in recorder.looks)
