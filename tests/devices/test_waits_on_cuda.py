"""What an agent waits for on a pretended CUDA device: real advisor, steering and flow, whatever the answers are."""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.arms.arm import Arm
from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.policy.features import constant_like
from flow_rag_vla.benchmark.episodes.actors import make_policy_agent

NUM_ENVS = 3


@pytest.fixture
def begun(cuda: str, parts, memory, fake_fleet):
    """``begun(arm)``: its agent after a first decision, with what it senses and which episodes run."""

    def make(arm: Arm, settings=parts.settings):
        fleet = fake_fleet(9, 9, 9, device=cuda)
        agent = make_policy_agent(arm, fleet, parts.policy, settings, memory, remembers=True)
        seen, running = fleet.load([], []), torch.ones(NUM_ENVS, dtype=torch.bool, device=cuda)
        agent.reset(["a", "b", "c"], [0] * NUM_ENVS)
        agent.decide(seen, running)
        return agent, seen, running

    return make


def test_a_decision_waits_for_who_asks_the_memory_and_where_somebody_does_for_what_its_advice_needs(begun, waits):
    agent, seen, running = begun(get_arm("parallel"))
    somebody_asks = bool(running.any())
    with waits("cuda") as waited:
        agent.decide(seen, running)
    assert waited == ["aten::nonzero", "tolist"][: 1 + somebody_asks]


@pytest.mark.parametrize("arm", ["flow_only", "always_cautious"])
def test_a_decision_without_a_memory_waits_for_nothing(arm: str, begun, waits):
    agent, seen, running = begun(get_arm(arm))
    with waits("cuda") as waited:
        agent.decide(seen, running)
    assert waited == []


@pytest.mark.parametrize("learned", [False, True], ids=["rules", "learned"])
def test_watching_waits_for_nothing(learned: bool, begun, parts, waits):
    agent, seen, running = begun(get_arm("parallel"), parts.learned_settings if learned else parts.settings)
    agent.watch(seen, running)
    if learned:
        # Its first step asks whether all episodes have begun; here the answer is that some never do.
        agent._learned._tracker._may_begin = False
    with waits("cuda") as waited:
        for _ in range(4):
            agent.watch(seen, running)
    assert waited == []


def test_a_list_that_becomes_a_tensor_there_is_a_wait_and_a_constant_is_one_once(cuda: str, waits):
    here, there = torch.zeros(2), torch.zeros(2, device=cuda)
    with waits("cuda") as waited:
        there.new_tensor([1.0, 2.0])
        torch.tensor([1.0, 2.0], device=cuda)
        here.to(there)
        there.copy_(here)
        there.cpu()
        there[0] = 1.0
    assert len(waited) == 6
    with waits("cuda") as waited:
        for _ in range(2):
            constant_like((1.0, 2.0), there)
        torch.where(there > 0, 1.0, there + 2.0)
        there[:1] = 1.0
        there.clone().double()
        here.tolist()
    assert len(waited) == 1
