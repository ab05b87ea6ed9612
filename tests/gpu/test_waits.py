"""What an agent waits for on a GPU: CUDA itself refuses every other wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATES, candidate_index
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.recall.clock import RealClock
from flow_rag_vla.agents.recall.dual_pathway import DualPathwayProcessor, FlowAnswer
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.memory.case import FailureCase
from flow_rag_vla.tasks.contract import OBSERVATION_WIDTHS, Observation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none here"),
]
DEVICE, NUM_ENVS = "cuda:0", 4
LONG_CYCLES = 400_000_000
"""Of a kernel that only waits: 0.2 s or more."""


@contextmanager
def no_waits_but(monkeypatch: pytest.MonkeyPatch, *allowed: str) -> Iterator[list[str]]:
    """CUDA raises where the host would wait, other than in tensors' methods ``allowed``, which are written down."""
    waited: list[str] = []

    def noted(name: str) -> Callable[..., object]:
        method = getattr(torch.Tensor, name)

        def allow(tensor: torch.Tensor) -> object:
            waited.append(name)
            torch.cuda.set_sync_debug_mode("default")
            try:
                return method(tensor)
            finally:
                torch.cuda.set_sync_debug_mode("error")

        return allow

    with monkeypatch.context() as patch:
        for name in allowed:
            patch.setattr(torch.Tensor, name, noted(name))
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield waited
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(scope="module")
def begun() -> tuple[FleetAgent, Observation, torch.Tensor]:
    """An agent after a decision and a control step: its memory advises two of four environments."""
    policy = load_checkpoint(DEFAULT_CHECKPOINT, DEVICE)
    rows = {name: torch.zeros(NUM_ENVS, width) for name, width in OBSERVATION_WIDTHS.items()}
    for name in (name for name in rows if name.endswith("quat_b")):
        rows[name][:, 3] = 1.0
    rows["object_pos_b"][:, 0] = torch.arange(NUM_ENVS) * 1.0
    columns = {name: column.to(DEVICE) for name, column in rows.items()}
    seen = Observation(**columns, instruction=policy.encoder.instructions.texts[:1] * NUM_ENVS)
    settings, horizon = ArmSettings(AgentSettings(execute=4)), policy.flow.horizon
    memory = new_memory(settings, horizon)
    keys = RetrievalEncoder(device=DEVICE).encode(seen).cpu().numpy()
    chunk = np.zeros((horizon, 7), dtype=np.float32)
    for env, name in enumerate(("lift_5cm", "goal_plus")):
        prior = np.ones((len(CANDIDATES), 2), dtype=np.float32)
        prior[candidate_index(name), 0] = 99.0
        memory.add([FailureCase(keys[env], chunk, "drop", chunk, "carry", str(env), prior)])
    arm = get_arm("parallel")
    agent = FleetAgent.for_arm(arm, policy, memory, settings, num_envs=NUM_ENVS, max_steps=80, device=DEVICE)
    agent.reset([str(env) for env in range(NUM_ENVS)], [0] * NUM_ENVS)
    running = torch.ones(NUM_ENVS, dtype=torch.bool, device=DEVICE)
    agent.decide(seen, running)
    agent.watch(seen, running)
    assert (agent.notes().candidate >= 0).tolist() == [True, True, False, False]
    return agent, seen, running


def test_watching_waits_for_nothing(begun, monkeypatch: pytest.MonkeyPatch):
    agent, seen, running = begun
    with no_waits_but(monkeypatch):
        agent.watch(seen, running)


def test_deciding_waits_for_who_asks_and_for_what_advice_needs(begun, monkeypatch: pytest.MonkeyPatch):
    agent, seen, running = begun
    with no_waits_but(monkeypatch, "nonzero", "tolist") as waited:
        agent.decide(seen, running)
        agent.decide(seen, running & False)
    assert waited == ["nonzero", "tolist", "nonzero"]


def test_a_retrieval_that_the_gpu_has_not_finished_is_late_and_the_flow_does_not_wait_for_it():
    def retrieve(query: torch.Tensor) -> torch.Tensor:
        torch.cuda._sleep(LONG_CYCLES)
        return query + 1.0

    def flow(query: torch.Tensor, poll) -> FlowAnswer[torch.Tensor]:
        found = poll()
        chunk = query if found is None else query + found.answer
        return FlowAnswer(chunk, chunk > 0, None)

    query = torch.ones(2, device=DEVICE)
    with DualPathwayProcessor(flow, retrieve, 5000.0, RealClock(device=DEVICE)) as processor:
        late = processor.process(query)
        assert (late.retrieval_age, late.chunk.tolist()) == (None, [1.0, 1.0])
        processor.drain()
        in_time = processor.process(query)
    assert (in_time.retrieval_age, in_time.chunk.tolist()) == (1, [3.0, 3.0])


def test_a_chunk_is_there_when_the_gpu_has_computed_it():
    def flow(query: torch.Tensor, poll) -> FlowAnswer[torch.Tensor]:
        torch.cuda._sleep(LONG_CYCLES)
        return FlowAnswer(query, query > 0, None)

    with DualPathwayProcessor(flow, lambda query: query, 5000.0, RealClock(False, DEVICE)) as processor:
        assert processor.process(torch.ones(1, device=DEVICE)).total_ms > 100.0
