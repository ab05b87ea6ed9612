"""The implementation guide's interface, on a tiny untrained policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES, CANDIDATES
from flow_rag_vla.agents.corrections.observation_correction import apply_observation_correction
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA, Query
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg, RetrievalEncoder
from flow_rag_vla.agents.policy.features import observation_from_fields
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall.advice import Advice, Needs
from flow_rag_vla.agents.recall.advisor import Advisor
from flow_rag_vla.agents.recall.clock import VirtualClock
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.contract import Observation

HORIZON = 2


def _observation(num_envs: int) -> Observation:
    """Hand above the table, holding a cube 10 cm up, far from the goal."""

    def rows(*values: float) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32).expand(num_envs, -1).clone()

    down = (1.0, 0.0, 0.0, 0.0)
    o = observation_from_fields(
        {
            "ee_pos_b": rows(0.5, 0.0, 0.125), "ee_quat_b": rows(*down), "ee_target_pos_b": rows(0.5, 0.0, 0.125),
            "ee_target_quat_b": rows(*down), "gripper_width_m": rows(0.05), "grip_force_n": rows(10.0),
            "previous_action": rows(0, 0, 0, 0, 0, 0, -0.25), "object_pos_b": rows(0.5, 0.0, 0.125),
            "object_quat_b": rows(0, 0, 0, 1), "object_size_m": rows(0.05, 0.05, 0.05),
            "object_rgb": rows(0.1, 0.2, 0.9), "goal_pos_b": rows(0.5, 0.25, 0.025),
            "hand_force_b": rows(0, 0, -1), "link_force_b": rows(0, 0, 0),
        }
    )  # fmt: skip
    return o


@pytest.fixture
def model() -> Iterator[FlowRAGVLA]:
    torch.manual_seed(0)
    texts = ("", "put the cube on the goal", "stack the cube")
    known = InstructionTable(texts, ("PickPlace", "PickPlace", "Stack"), torch.eye(3, INSTRUCTION_DIM))
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16), known).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=16, num_layers=1))).eval()
    memory = FailureMemory(horizon=HORIZON, num_candidates=len(CANDIDATES))
    keys = RetrievalEncoder()
    advisor = Advisor(memory, keys, num_neighbours=5, gate=0.5)
    model = FlowRAGVLA(PolicyCheckpoint(encoder, flow), advisor, memory=memory, key_encoder=keys)
    yield model
    model.processor.close()


def test_forward_takes_an_observation_and_an_instruction(model):
    chunk = model(_observation(3), "put the cube on the goal")
    assert chunk.shape == (3, HORIZON, 7)
    assert bool(torch.isfinite(chunk).all())


def test_the_instruction_that_forward_is_given_replaces_the_observations_own(model):
    for weights in model.flow.parameters():  # adaLN blocks begin without a condition
        torch.nn.init.normal_(weights, std=0.2)
    noise = torch.randn(2, HORIZON, 7)
    spoken = dataclasses.replace(_observation(2), instruction=("stack the cube",) * 2)
    assert torch.equal(model(_observation(2), "stack the cube", noise), model(spoken, noise=noise))
    assert not torch.equal(model(_observation(2), "put the cube on the goal", noise), model(spoken, noise=noise))


def test_a_failure_is_remembered_once_and_successes_never(model):
    before = _observation(2)
    gone = torch.tensor([[0.5, 0.0, 0.025], [0.5, 0.0, 0.025]])
    after = dataclasses.replace(
        before, object_pos_b=gone, grip_force_n=torch.zeros(2, 1), gripper_width_m=torch.zeros(2, 1)
    )
    action = torch.zeros(2, HORIZON, 7)
    action[:, :, 6] = -0.25
    assert model.update_memory(before, after, action, torch.tensor([True, True])) == 0
    assert model.update_memory(before, after, action, torch.tensor([True, False])) == 1
    assert model.update_memory(before, after, action, torch.tensor([True, False])) == 0
    assert model.advisor.advise(before).given.tolist() == [True, True]


def test_a_misplaced_release_advises_the_goal_on_the_other_side(model):
    before = _observation(2)
    rest = torch.tensor([[0.5, 0.30, 0.025], [0.5, 0.20, 0.025]])
    opened = before.previous_action.clone()
    opened[:, 6] = 0.25
    after = dataclasses.replace(before, object_pos_b=rest, previous_action=opened, grip_force_n=torch.zeros(2, 1))
    action = torch.zeros(2, HORIZON, 7)
    action[:, :, 6] = 0.25
    assert model.update_memory(before, after, action, torch.tensor([False, True])) == 1
    assert CANDIDATE_NAMES[int(model.advisor.advise(before).candidate[0])] == "goal_minus_half"


def test_an_environment_with_broken_physics_gets_no_advice_and_disturbs_nobody(model):
    before = _observation(2)
    after = dataclasses.replace(before, object_pos_b=before.object_pos_b - 0.1, grip_force_n=torch.zeros(2, 1))
    action = torch.zeros(2, HORIZON, 7)
    action[:, :, 6] = -0.25
    model.update_memory(before, after, action, torch.tensor([True, False]))
    broken = before.object_pos_b.clone()
    broken[0] = float("nan")
    advice = model.advisor.advise(dataclasses.replace(before, object_pos_b=broken))
    assert advice.given.tolist() == [False, True]


class _Says:
    """A memory that always gives the same advice."""

    def __init__(self, advice: Advice) -> None:
        self.advice = advice
        self.asked: list[list[bool]] = []

    def advise(
        self, observation: Observation, asks: torch.Tensor, situation: object = None, felt: object = None
    ) -> Advice:
        del observation, situation, felt
        self.asked.append(asks.tolist())
        return self.advice


class _Recorder:
    """A policy whose chunk is where it sees the goal; it keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []

    def __call__(self, observation: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append(observation)
        chunk = torch.zeros_like(noise)
        chunk[:, :, :3] = observation.goal_pos_b.unsqueeze(1)
        return noise[:, 0], chunk


def _advice(*names: str | None) -> Advice:
    """Certain advice to take the named candidates, none where there is no name."""
    candidate = torch.tensor([-1 if name is None else CANDIDATE_NAMES.index(name) for name in names])
    zero = torch.zeros(len(candidate))
    return Advice(
        candidate, candidate.clamp(max=0), candidate, (candidate >= 0).float(), zero, zero > 0, zero > 0, zero > 0
    )


def _decide(policy, fresh: Advice, settled: Advice, chunk_policy=None, retrieval_ms=0.0):
    """One decision with given noise; the model's memory answers ``fresh`` after ``retrieval_ms``."""
    n = len(fresh.candidate)
    clock = VirtualClock(10.0, retrieval_ms)
    model = FlowRAGVLA(policy, _Says(fresh), chunk_policy=chunk_policy, clock=clock)  # pyright: ignore[reportArgumentType]
    noise = torch.randn(n, HORIZON, 7, generator=torch.Generator().manual_seed(4))
    return model.decide(Query(_observation(n), noise, settled))


@pytest.fixture
def policy(model) -> PolicyCheckpoint:
    """An untrained flow answers every state alike; random weights do not."""
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.flow.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=rng))
    return PolicyCheckpoint(model.encoder, model.flow)


def test_fresh_advice_on_the_observation_is_acted_on_in_a_second_pass(policy):
    recorder = _Recorder()
    nothing = Advice.nothing(3)
    decision = _decide(policy, _advice(None, "goal_plus", "grip_up_4"), nothing, recorder)
    first, second = recorder.seen
    assert torch.equal(first.goal_pos_b, _observation(3).goal_pos_b)
    assert (second.goal_pos_b - first.goal_pos_b)[:, 1].tolist() == pytest.approx([0.0, 0.05, 0.0], abs=1e-6)
    assert decision.chunk[:, 0, 1].tolist() == pytest.approx([0.25, 0.30, 0.25], abs=1e-6)
    assert decision.corrected.tolist() == [False, True, True]


def test_settled_advice_on_the_observation_is_acted_on_from_the_start(policy):
    recorder = _Recorder()
    decision = _decide(policy, _advice("goal_minus", "goal_plus"), _advice("goal_plus", None), recorder)
    assert recorder.seen[0].goal_pos_b[:, 1].tolist() == pytest.approx([0.30, 0.25], abs=1e-6)
    assert recorder.seen[1].goal_pos_b[:, 1].tolist() == pytest.approx([0.30, 0.30], abs=1e-6)
    assert decision.chunk[:, 0, 1].tolist() == pytest.approx([0.30, 0.30], abs=1e-6)


@pytest.mark.parametrize(
    ("fresh", "settled"),
    [((None, "grip_up_4"), (None, None)), (("goal_plus", "goal_plus"), ("goal_minus", "grip_up_1"))],
)
def test_there_is_no_second_pass_without_fresh_advice_on_the_observation(policy, fresh, settled):
    recorder = _Recorder()
    _decide(policy, _advice(*fresh), _advice(*settled), recorder)
    assert len(recorder.seen) == 1


def test_late_advice_on_the_observation_changes_nothing_yet(policy):
    recorder = _Recorder()
    decision = _decide(policy, _advice("goal_plus"), Advice.nothing(1), recorder, retrieval_ms=20.0)
    assert len(recorder.seen) == 1
    assert not decision.corrected[0]


def test_advice_on_the_observation_gives_bitwise_the_policys_chunk_for_that_observation(policy):
    names = ("goal_plus", None, "grip_up_4", "object_minus")
    nothing = Advice.nothing(4)
    plain = _decide(policy, nothing, nothing).chunk
    fresh, settled = _decide(policy, _advice(*names), nothing), _decide(policy, nothing, _advice(*names))
    assert torch.equal(fresh.chunk, settled.chunk)
    assert torch.equal(fresh.chunk[1], plain[1])
    assert not torch.equal(fresh.chunk[0], plain[0])
    # A held object is where it is perceived: object_minus has nothing to change.
    assert torch.equal(fresh.chunk[3], plain[3])
    model = FlowRAGVLA(policy, None, clock=VirtualClock())
    noise = torch.randn(4, HORIZON, 7, generator=torch.Generator().manual_seed(4))
    seen = apply_observation_correction(_advice(*names).candidate.clamp(min=0), _observation(4))
    assert torch.equal(model(seen, noise=noise)[0], fresh.chunk[0])


def test_a_row_does_not_depend_on_whether_its_neighbour_needs_a_second_pass(policy):
    nothing = Advice.nothing(2)
    with_neighbour = _decide(policy, _advice("grip_up_4", "goal_plus"), nothing).chunk
    without = _decide(policy, _advice("grip_up_4", None), nothing).chunk
    assert torch.equal(with_neighbour[0], without[0])


def test_unless_told_otherwise_the_memory_is_asked_wherever_nothing_is_settled(policy):
    says = _Says(Advice.nothing(3))
    model = FlowRAGVLA(policy, says, clock=VirtualClock())  # pyright: ignore[reportArgumentType]
    query = Query(_observation(3), torch.zeros(3, HORIZON, 7), _advice("grip_up_4", None, None))
    model.decide(query)
    model.decide(dataclasses.replace(query, asks=torch.tensor([False, False, True])))
    assert says.asked == [[False, True, True], [False, False, True]]


@pytest.mark.parametrize("names", [("goal_plus", None), ("grip_up_4", None), ("grip_up_4", "object_plus")])
def test_without_a_memory_settled_advice_is_acted_on_as_with_one_that_says_nothing(policy, names):
    settled, nothing = _advice(*names), Advice.nothing(2)
    noise = torch.randn(2, HORIZON, 7, generator=torch.Generator().manual_seed(4))
    decisions = [
        FlowRAGVLA(policy, advisor, clock=VirtualClock(10.0)).decide(Query(_observation(2), noise, settled))  # pyright: ignore[reportArgumentType]
        for advisor in (None, _Says(nothing))
    ]
    alone, beside = decisions
    assert torch.equal(alone.chunk, beside.chunk)
    assert alone.corrected.tolist() == beside.corrected.tolist() == [name is not None for name in names]
    assert not torch.equal(alone.chunk[0], _decide(policy, nothing, nothing).chunk[0])


def test_needs_that_are_not_known_change_nothing_but_the_work(policy):
    names = ("goal_plus", None, "grip_up_4", "none")
    nothing, unknown = Advice.nothing(4), _advice(*names)
    known = dataclasses.replace(unknown, needs=Needs(percept=True, reroute=False, steering=True))
    idle = dataclasses.replace(nothing, needs=Needs())
    assert torch.equal(_decide(policy, nothing, unknown).chunk, _decide(policy, nothing, known).chunk)
    assert torch.equal(_decide(policy, idle, idle).chunk, _decide(policy, nothing, nothing).chunk)


def test_where_nobody_has_settled_advice_on_the_observation_the_policy_is_shown_the_observation_itself(policy):
    recorder = _Recorder()
    model = FlowRAGVLA(policy, None, chunk_policy=recorder, clock=VirtualClock())  # pyright: ignore[reportArgumentType]
    seen = _observation(2)
    model.decide(Query(seen, torch.zeros(2, HORIZON, 7), Advice.nothing(2)))
    assert recorder.seen[0] is seen
