"""The registry of arms, and that an arm is its record."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from flow_rag_vla.agents.arms import registry
from flow_rag_vla.agents.arms.arm import Arm, ChunkSource, Expert, Placebo, Suite
from flow_rag_vla.agents.arms.catalogue import (
    ALWAYS_CAUTIOUS,
    EXPERT,
    FLOW_ONLY,
    PARALLEL,
    PARALLEL_ORACLE,
    RAG_ONLY,
    SUCCESS_MEMORY,
    ZERO,
)
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES
from flow_rag_vla.agents.corrections.steering import STEERING, strength_of, warm_start
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA, Query
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.advice import Advice
from flow_rag_vla.agents.recall.advisor import Advisor
from flow_rag_vla.agents.recall.clock import VirtualClock
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.agents.recall.placebos import ShuffledAnswers
from flow_rag_vla.agents.recall.told_advice import ToldAdvice
from flow_rag_vla.tasks.contract import NOMINAL_GRIP, NOTHING, UnknownNameError

HORIZON = 8
SETTINGS = ArmSettings(AgentSettings(execute=4), flow_ms=20.0, retrieval_ms=100.0)


@pytest.fixture
def policy(instructions) -> PolicyCheckpoint:
    """A small untrained policy."""
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16), instructions).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=16, num_layers=1))).eval()
    return PolicyCheckpoint(encoder, flow)


@pytest.fixture
def lively(policy) -> PolicyCheckpoint:
    """The same with random weights: an untrained flow answers every state alike."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in policy.flow.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=rng))
    return policy


def bank(observation, noise):
    """Demonstrations whose every action is one half."""
    return noise[:, 0], torch.full_like(noise, 0.5)


@pytest.mark.parametrize("arm", registry.policy_arms(), ids=lambda arm: arm.name)
def test_every_arm_with_a_policy_decides(arm: Arm, policy, observe):
    settings = dataclasses.replace(SETTINGS, bank=bank)
    model = FlowRAGVLA.for_arm(arm, policy, new_memory(settings, HORIZON).frozen(), settings)
    chunk = model(observe(2), noise=torch.zeros(2, HORIZON, 7))
    assert chunk.shape == (2, HORIZON, 7)
    assert bool((chunk == 0.5).all()) == (arm.chunk_source is ChunkSource.DEMONSTRATIONS)
    assert isinstance(model.advisor, Advisor) == arm.consults_memory
    assert isinstance(model.advisor, ToldAdvice) == arm.told_correction
    answers = model.advisor.answers if isinstance(model.advisor, Advisor) else None
    assert isinstance(answers, ShuffledAnswers) == (arm.placebo is Placebo.SHUFFLED)


@pytest.mark.parametrize("arm", registry.all_arms(), ids=lambda arm: arm.name)
def test_an_arms_names_exist(arm: Arm):
    assert arm.steering in STEERING
    assert set(arm.constant_corrections) <= set(CANDIDATE_NAMES)
    assert arm.description
    assert not arm.latency_as or registry.get_arm(arm.latency_as).has_policy


def test_only_a_memory_asked_beside_the_flow_has_a_latency_of_its_own(policy):
    memory = new_memory(SETTINGS, HORIZON).frozen()
    waits = {}
    for name in ("flow_only", "sequential", "parallel"):
        clock = FlowRAGVLA.for_arm(registry.get_arm(name), policy, memory, SETTINGS).processor.clock
        assert isinstance(clock, VirtualClock)
        waits[name] = clock.retrieval_ms
    assert waits == {"flow_only": 0.0, "sequential": 0.0, "parallel": 100.0}


NOISE = torch.randn(2, HORIZON, 7, generator=torch.Generator().manual_seed(6))


def test_the_cautious_habit_changes_what_the_flow_does(lively, carry):
    held = carry((0.5, 0.0, 0.1), 2)
    plain, cautious = (FlowRAGVLA.for_arm(arm, lively, None, SETTINGS) for arm in (FLOW_ONLY, ALWAYS_CAUTIOUS))
    assert not torch.equal(plain(held, noise=NOISE), cautious(held, noise=NOISE))


def test_who_holds_still_neither_moves_nor_closes_the_hand_whatever_is_sensed(lively, observe, carry):
    model = FlowRAGVLA.for_arm(ZERO, lively, None, SETTINGS)
    for seen in (observe(2), carry((0.5, 0.0, 0.1), 2)):
        chunk = model(seen, noise=NOISE)
        assert not chunk[:, :, :6].any()
        assert (chunk[:, :, 6] == NOMINAL_GRIP).all()


def test_a_memory_of_successes_starts_the_flow_at_the_nearest_demonstration(lively, carry):
    """``x_t0 = (1 - t0) e + t0 a*`` with ``t0 = 0.95 * 0.88``, in every environment and whatever failed before."""
    held, memory = carry((0.5, 0.0, 0.1), 2), new_memory(SETTINGS, HORIZON).frozen()
    settings = dataclasses.replace(SETTINGS, bank=bank)
    model = FlowRAGVLA.for_arm(SUCCESS_MEMORY, lively, memory, settings)
    demonstrated, strength = torch.full_like(NOISE, 0.5), torch.full((2,), 0.88)
    with torch.no_grad():
        state = lively.encoder.encode(held)
    expected = warm_start(lively.flow, state, NOISE, demonstrated, strength)
    chunk = model(held, noise=NOISE)
    assert torch.equal(chunk, expected)
    plain = FlowRAGVLA.for_arm(FLOW_ONLY, lively, None, settings)(held, noise=NOISE)
    assert not torch.equal(chunk, plain)
    assert model.advisor is None


def test_a_memory_of_successes_steers_as_firmly_as_the_first_correction_that_parallel_tries():
    first = strength_of(torch.tensor(0.6))
    assert pytest.approx(float(first), abs=0.005) == SUCCESS_MEMORY.demonstration_strength


def test_who_is_told_the_correction_acts_on_it_and_elsewhere_bitwise_as_the_flow(lively, carry):
    held, firm = carry((0.5, 0.0, 0.1), 2), CANDIDATE_NAMES.index("grip_up_4")
    told, plain = (FlowRAGVLA.for_arm(arm, lively, None, SETTINGS) for arm in (PARALLEL_ORACLE, FLOW_ONLY))
    assert torch.equal(told(held, noise=NOISE), plain(held, noise=NOISE))
    assert isinstance(told.advisor, ToldAdvice)
    told.advisor.tell(torch.tensor([NOTHING, firm]))
    decision = told.decide(Query(held, NOISE, Advice.nothing(2)))
    same = [torch.equal(a, b) for a, b in zip(decision.chunk, plain(held, noise=NOISE), strict=True)]
    assert same == [True, False]
    assert decision.in_time
    assert decision.advice is not None
    assert decision.advice.candidate.tolist() == [NOTHING, firm]
    assert decision.advice.reliability.tolist() == [0.0, 1.0]
    assert decision.advice.case_id.tolist() == [NOTHING, NOTHING]
    assert not told.advisor.advise(held, torch.tensor([False, False])).given.any()


def test_the_suites_hold_the_guides_arms_and_their_controls():
    guide = [arm.name for arm in registry.benchmark_arms(Suite.GUIDE)]
    assert guide == ["flow_only", "rag_only", "sequential", "parallel"]
    full = [arm.name for arm in registry.benchmark_arms()]
    placebos = ["parallel_shuffled", "parallel_wrong_type", "parallel_ungated", "random_trigger", "parallel_empty"]
    rest = ["success_memory", "zero", "parallel_oracle", "expert"]
    assert full == [*guide, "always_cautious", "parallel_blend", "parallel_negative", *placebos, *rest]


def test_bounds_are_told_apart_from_agents():
    assert [arm.name for arm in registry.all_arms() if arm.is_told] == ["parallel_oracle", "expert"]
    assert [arm.name for arm in registry.all_arms() if arm.holds_still] == ["zero"]
    assert [arm.name for arm in registry.policy_arms() if arm.acts_on_flow_alone] == ["flow_only"]
    assert [arm.name for arm in registry.all_arms() if arm.needs_demonstrations] == ["rag_only", "success_memory"]


@pytest.mark.usefixtures("own_arms")
def test_a_new_arm_is_one_entry(policy, observe):
    toy = registry.register_arm(Arm("gentle", "grips softly", Suite.CONTROL, constant_corrections=("grip_down_3",)))
    assert registry.get_arm("gentle") is toy
    assert registry.benchmark_arms()[-1] is toy
    chunk = FlowRAGVLA.for_arm(toy, policy, None, SETTINGS)(observe(), noise=torch.zeros(1, HORIZON, 7))
    assert chunk.shape == (1, HORIZON, 7)


@pytest.mark.usefixtures("own_arms")
@pytest.mark.parametrize(
    ("arm", "complaint"),
    [
        (Arm("parallel", "again"), "arm 'parallel' is already registered"),
        (Arm("other", "another reference", is_reference=True), "arm 'other': is_reference is 'flow_only' already"),
        (Arm("habit", "another habit", is_habit=True), "arm 'habit': is_habit is 'always_cautious' already"),
    ],
)
def test_the_registry_refuses_doubles(arm: Arm, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        registry.register_arm(arm)


@pytest.mark.parametrize(
    "fields",
    [
        {"expert": Expert.INFORMED, "consults_memory": True},
        {"expert": Expert.NOMINAL, "constant_corrections": ("lift_15cm",)},
        {"placebo": Placebo.SHUFFLED},
        {"avoids_failures": True},
        {"avoids_failures": True, "consults_memory": True, "chunk_source": ChunkSource.DEMONSTRATIONS},
        {"expert": Expert.INFORMED, "told_correction": True},
        {"told_correction": True, "consults_memory": True},
        {"expert": Expert.NOMINAL, "demonstration_strength": 0.5},
        {"demonstration_strength": 1.5},
        {"demonstration_strength": 0.5, "consults_memory": True},
        {"demonstration_strength": 0.5, "chunk_source": ChunkSource.DEMONSTRATIONS},
        {"chunk_source": ChunkSource.STILLNESS, "constant_corrections": ("lift_15cm",)},
    ],
)
def test_an_arm_that_contradicts_itself_is_refused(fields):
    with pytest.raises(ValueError, match="arm 'odd'"):
        Arm("odd", "odd", **fields)


def test_unknown_arms_are_told_which_exist():
    with pytest.raises(KeyError, match=r"unknown arm 'paralel'; available: flow_only, .*parallel"):
        registry.get_arm("paralel")


@pytest.mark.parametrize(
    ("arm", "chunk_policy", "complaint"),
    [
        (EXPERT, None, "arm 'expert' is the scripted expert"),
        (RAG_ONLY, None, "arm 'rag_only' acts on demonstrations, and no bank of them was loaded"),
        (SUCCESS_MEMORY, None, "arm 'success_memory' acts on demonstrations, and no bank of them was loaded"),
        (PARALLEL_ORACLE, bank, "another runtime makes chunks for .* alone, got arm 'parallel_oracle'"),
        (PARALLEL, bank, "another runtime makes chunks for arms that act on the flow alone, got arm 'parallel'"),
    ],
)
def test_an_arm_that_cannot_be_built_says_why(arm: Arm, chunk_policy, complaint: str, policy):
    with pytest.raises(ValueError, match=complaint):
        FlowRAGVLA.for_arm(arm, policy, None, SETTINGS, chunk_policy=chunk_policy)


@pytest.mark.parametrize(
    ("arm", "complaint"),
    [
        (Arm("odd", "odd", steering="gently"), "unknown steering 'gently'; available: warm_start, blend, negative"),
        (
            Arm("odd", "odd", constant_corrections=("lift_5cm", "lift_1km")),
            "unknown correction 'lift_1km'; available: none, grip_up_1, .*grasp_minus",
        ),
    ],
)
def test_names_that_an_arm_has_wrong_are_told_which_exist(arm: Arm, complaint: str, policy):
    with pytest.raises(UnknownNameError, match=complaint):
        FlowRAGVLA.for_arm(arm, policy, None, SETTINGS)
