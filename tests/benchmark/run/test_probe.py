"""The batch-1 probe: who is timed, what is compared, and that it leaves the process as it found it."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest
import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.chunk_policy import hold_still
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg
from flow_rag_vla.agents.policy.features import held
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.policies import probe
from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS, Observation

HORIZON = 8
SETTINGS = ArmSettings(AgentSettings(execute=4), bank=hold_still)  # pyright: ignore[reportArgumentType]
ARMS = ("flow_only", "sequential", "parallel", "always_cautious", "success_memory", "zero", "parallel_oracle", "expert")
EPISODES, DECISIONS = 3, 4


@pytest.fixture
def policy() -> PolicyCheckpoint:
    """A small untrained policy."""
    known = InstructionTable(["do it"], ["PickPlace"], torch.eye(1, INSTRUCTION_DIM))
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16), known).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=16, num_layers=1))).eval()
    return PolicyCheckpoint(encoder, flow)


def observations(count: int) -> list[Observation]:
    """Different single rows."""
    upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    rows = []
    for i in range(count):
        fields = {name: torch.full((1, width), 0.1 * i) for name, width in OBSERVATION_WIDTHS.items()}
        fields |= {name: upright for name in fields if name.endswith("quat_b")}
        rows.append(Observation(**fields, instruction=("do it",)))
    return rows


@pytest.fixture
def probed(policy, monkeypatch: pytest.MonkeyPatch):
    """Timings of ``ARMS``, and the progress that was told."""
    monkeypatch.setattr(probe, "WARM_UP", 2)
    monkeypatch.setattr(probe, "EPISODES", EPISODES)
    memories = {arm: new_memory(SETTINGS, HORIZON).frozen() for arm in ("sequential", "parallel")}
    told: list[int] = []
    return probe.probe_arms(ARMS, policy, memories, SETTINGS, observations(3), told.append, decisions=DECISIONS), told


def test_every_arm_with_a_policy_is_timed_and_the_expert_is_not(probed):
    timings, told = probed
    assert list(timings) == [arm for arm in ARMS if arm != "expert"]
    assert told == list(range(1, 2 + EPISODES + 1))
    for timing in timings.values():
        latency = timing.decision_latency_ms
        assert 0 < latency.p50 <= latency.p95 <= latency.p99
        assert timing.avg_frequency_hz > 0


def test_what_is_carried_is_held_half_way_at_carrying_height():
    row = observations(2)[1]
    row = dataclasses.replace(
        row, object_pos_b=torch.tensor([[0.4, -0.2, 0.02]]), goal_pos_b=torch.tensor([[0.6, 0.2, 0.05]])
    )
    carries = probe.carried(row)
    assert bool(held(carries))
    assert carries.object_pos_b.tolist() == [pytest.approx([0.5, 0.0, 0.17])]
    assert torch.equal(carries.ee_pos_b, carries.object_pos_b)
    assert torch.equal(row.object_pos_b, torch.tensor([[0.4, -0.2, 0.02]]))


def test_first_decisions_are_told_apart_from_the_others():
    taken = {"parallel": np.array([[30.0, 5.0, 5.0], [50.0, 5.0, 5.0]]), "flow_only": np.full((2, 3), 5.0)}
    timing = probe.timing_of("parallel", taken)
    assert timing.first_decision_ms is not None
    assert timing.decision_latency_ms is not None
    assert (timing.first_decision_ms.p50, timing.decision_latency_ms.p50) == (40.0, 5.0)
    equal = timing.latency_equivalence
    assert equal is not None
    # Episodes of 40 / 3 and 20 ms on average against 5.
    assert (equal.n, equal.mean_difference_ms) == (2, pytest.approx((40.0 + 60.0) / 6.0 - 5.0))


def test_all_but_the_reference_are_compared_with_it_pair_by_pair(probed):
    timings, _ = probed
    compared = {arm: timing.latency_equivalence for arm, timing in timings.items()}
    assert compared.pop("flow_only") is None
    assert {equivalence.n for equivalence in compared.values()} == {EPISODES}


def test_only_arms_that_consult_a_memory_have_rates_of_retrieval(probed):
    timings, _ = probed
    rates = {arm: (timing.correction_rate, timing.rag_timeout_rate) for arm, timing in timings.items()}
    without = [rates[arm] for arm in ARMS if not get_arm(arm).consults_memory and arm != "expert"]
    assert without == [(None, None)] * 5
    for arm in ("sequential", "parallel"):
        corrected, late = rates[arm]
        assert corrected == 0.0  # the memory is empty
        assert 0.0 <= late <= 1.0  # how often depends on the machine


def test_threads_are_given_back(policy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe, "WARM_UP", 1)
    monkeypatch.setattr(probe, "EPISODES", 2)
    seen: list[int] = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        memories = {"parallel": new_memory(SETTINGS, HORIZON).frozen()}
        look = lambda _: seen.append(torch.get_num_threads())  # noqa: E731
        probe.probe_arms(("flow_only", "parallel"), policy, memories, SETTINGS, observations(1), look, decisions=2)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("retrieval")]
