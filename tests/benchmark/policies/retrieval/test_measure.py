"""What is played to compare keys, and how several keys of one play are told apart."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from flow_rag_vla.agents import fleet_agent
from flow_rag_vla.agents.detection.alarm import FailureAlarm
from flow_rag_vla.benchmark.episodes.plan import plan_scenarios
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import SPLITS, split_of
from flow_rag_vla.benchmark.policies.retrieval import measure
from flow_rag_vla.benchmark.policies.retrieval.compared_keys import FIRST, LATER, LATER_KEY, KeyTable
from flow_rag_vla.benchmark.policies.retrieval.measure import (
    SPLIT,
    RetrievalRequest,
    asking_episodes,
    measure_retrieval,
)
from flow_rag_vla.benchmark.policies.retrieval.several_keys import KeysWhenAsked, SeveralKeys
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING, PHASES, FaultClass
from flow_rag_vla.tasks.scenarios.sites import make_site


class Scaled:
    """Makes keys (2) of a direction, ``factor`` long."""

    embedding_dim = 2

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def encode(self, observation: Any) -> torch.Tensor:
        return self.factor * torch.as_tensor(observation)


def test_hazards_ask_nearby_and_anew_and_harmless_episodes_on_layouts_that_nothing_was_learned_on():
    site = make_site(SPLITS[SPLIT].start, "pick_place")
    met, new = (plan_scenarios([site], 50, 0, SPLIT, visit) for visit in range(2))
    asking = asking_episodes(met, new)
    learned_on = {s.layout_seed for s in met}
    counts = {kind: [e.scenario for e in asking if e.exposure is kind] for kind in Exposure}
    avoidable = sum(s.fault_class is FaultClass.AVOIDABLE for s in met)
    assert avoidable > 0
    assert len(counts[Exposure.NEAR]) == len(counts[Exposure.FAR]) == avoidable
    for kind in (Exposure.FAR, Exposure.CONTROL, Exposure.CLEAN):
        assert counts[kind]
        assert learned_on.isdisjoint(s.layout_seed for s in counts[kind])
    assert {split_of(e.scenario.layout_seed) for e in asking} == {SPLIT}
    assert {s.fault_class for s in counts[Exposure.NEAR]} == {FaultClass.AVOIDABLE}


def test_several_keys_come_apart_as_they_were_made_whatever_they_were_scaled_by():
    encoder = SeveralKeys({"one": Scaled(1.0), "three": Scaled(3.0)})
    sensed: Any = [[0.6, 0.8]]
    keys = encoder.encode(sensed).numpy()
    assert (encoder.embedding_dim, keys.shape) == (4, (1, 4))
    np.testing.assert_allclose(keys, [[0.6, 0.8, 1.8, 2.4]], rtol=1e-6)
    apart = encoder.apart((0.1 * keys).astype(np.float32))
    np.testing.assert_allclose(apart["one"], [[0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(apart["three"], [[1.8, 2.4]], rtol=1e-6)


class Feeling:
    """Feels what the test says."""

    execute = 1

    def __init__(self) -> None:
        self.felt = torch.tensor([NOTHING, NOTHING])

    def reset(self, noise_keys: Any, attempts: Any) -> None:
        self.felt = torch.tensor([NOTHING, NOTHING])

    def notes(self) -> Any:
        return SimpleNamespace(failure_type=self.felt)

    def decide(self, observation: Any, running: torch.Tensor) -> torch.Tensor:
        return torch.zeros(2, 1, 7)


def test_keys_are_those_of_the_first_decision_and_of_the_first_one_after_an_alarm():
    acting: Any = Feeling()
    agent, running = KeysWhenAsked(acting, Scaled(1.0)), torch.tensor([True, True])
    with pytest.raises(RuntimeError, match="before the first decision"):
        agent.asked()
    agent.reset([], [])
    agent.decide([[1.0, 0.0], [2.0, 0.0]], running)  # type: ignore[arg-type]
    acting.felt = torch.tensor([NOTHING, FAILURE_TYPES.index("drop")])
    for step in (3.0, 4.0):
        agent.decide([[step, 0.0], [step, 0.0]], running)  # type: ignore[arg-type]
    at_first, at_alarm, alarmed = agent.asked()
    assert at_first.tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert at_alarm.tolist() == [[1.0, 0.0], [3.0, 0.0]]
    assert alarmed.tolist() == [False, True]
    agent.reset([], [])
    agent.decide([[5.0, 0.0], [6.0, 0.0]], torch.tensor([True, False]))  # type: ignore[arg-type]
    assert agent.asked()[2].tolist() == [False, False]


class OddOnesDrop:
    """A detector that notices a drop in every other environment at the third control step."""

    def __init__(self, num_envs: int, max_steps: int, device: str) -> None:
        self.first = FailureAlarm.none(num_envs, device)
        self._steps = 0

    def reset(self, env_ids: torch.Tensor) -> None:
        self.first = FailureAlarm.none(len(env_ids))
        self._steps = 0

    def update(self, observation: Any, steps: int = 1, running: Any = None) -> FailureAlarm:
        self._steps += steps
        none = FailureAlarm.none(len(self.first.mask))
        if self._steps != 3:
            return none
        odd = torch.arange(len(none.mask)) % 2 == 1
        drop = torch.full_like(none.failure_type, FAILURE_TYPES.index("drop"))
        phase = torch.full_like(none.phase, PHASES.index("carry"))
        self.first = none.where(odd, dataclasses.replace(none, mask=odd, failure_type=drop, phase=phase))
        return self.first


@pytest.fixture
def measured(fake_fleet, monkeypatch: pytest.MonkeyPatch) -> KeyTable:
    """Keys compared where every other episode drops something and times out, and everything looks alike."""

    def made(task: str, num_envs: int, **options: object):
        return fake_fleet(*[5, 99] * (num_envs // 2), max_episode_length=12)

    monkeypatch.setattr(measure, "make_fleet", made)
    monkeypatch.setattr(fleet_agent, "RuleDetector", OddOnesDrop)
    request = RetrievalRequest("pick_place", "default", 1, 40, 16, 0, "newton_mujoco", "cpu")
    return measure_retrieval(request, io.StringIO())


def test_a_measurement_remembers_what_e1_failed_and_asks_at_the_start_and_after_an_alarm(measured: KeyTable):
    site = make_site(SPLITS[SPLIT].start, "pick_place")
    met, new = (plan_scenarios([site], 40, 0, SPLIT, visit) for visit in range(2))
    asking = asking_episodes(met, new)
    planned = Counter(str(episode.exposure) for episode in asking)
    # Batches of 16 begin with an even environment.
    odd = Counter(str(episode.exposure) for episode in asking[1::2])
    assert measured.cases == 20
    assert len({row.key for row in measured.rows}) == 4
    assert {row.moment for row in measured.rows} == {FIRST, LATER, LATER_KEY}
    for row in measured.rows:
        asked = planned if row.moment == FIRST else odd
        assert (row.result.queries, row.result.found) == (asked[row.exposure], asked[row.exposure])
        # What timed out is remembered as a drop.
        assert (row.result.failed, row.result.type_all) == (odd[row.exposure], 0.0)
