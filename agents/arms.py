"""The ablation arms: which parts of the agent each of them has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.corrections.steering import blend, warm_start
from flow_rag_vla.agents.detection import DETECTORS
from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR, load_detector
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.flow_rag_vla import CAUTIOUS, FlowRAGVLA
from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.recall.advice import Advisor, ShuffledAdvisor
from flow_rag_vla.agents.recall.dual_pathway import Clock, VirtualClock
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.contract import CONTROL_HZ, UnknownNameError

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.chunk_policy import ChunkPolicy

CHECKPOINT_FOLDER = Path(__file__).resolve().parent / "checkpoints"
DEFAULT_CHECKPOINT = CHECKPOINT_FOLDER / "franka.safetensors"


def bank_of(checkpoint: Path) -> Path:
    """The demonstration bank that ``scripts/train.py`` wrote beside ``checkpoint``."""
    return checkpoint.with_name(f"{checkpoint.stem}_bank.safetensors")


MEMORY_ARMS: tuple[str, ...] = ("rag_only", "sequential", "parallel", "parallel_blend", "parallel_shuffled")
"""Arms that consult a failure memory, and write to it at the barriers."""

MODEL_ARMS: tuple[str, ...] = ("flow_only", *MEMORY_ARMS, "always_cautious")
"""Arms that ``build_model`` knows."""


@dataclass(frozen=True)
class ArmSettings:
    """How memory arms retrieve and steer, and what latencies their virtual clock assumes."""

    execute: int
    num_neighbours: int
    similarity_threshold: float
    confidence_gate: float
    max_cases: int
    bank: Path
    """Demonstrated states for ``rag_only``."""
    seed: int = 0
    flow_ms: float = 0.0
    retrieval_ms: float = 0.0
    detector: str = "rules"
    """Who notices failures: one of ``DETECTORS``."""


def new_memory(settings: ArmSettings, policy: PolicyCheckpoint, source: Path | None = None) -> FailureMemory:
    """An empty memory, or a copy of the one saved at ``source``; writes do not reach the file."""
    options = {"max_size": settings.max_cases, "similarity_threshold": settings.similarity_threshold}
    if source is not None:
        return FailureMemory.load(source, **options, search_threads=torch.get_num_threads())
    return FailureMemory(
        **options,
        horizon=policy.flow.horizon,
        num_candidates=len(CANDIDATES),
        search_threads=torch.get_num_threads(),
    )


def build_model(
    arm: str,
    policy: PolicyCheckpoint,
    memory: FailureMemory | None,
    settings: ArmSettings,
    *,
    device: str = "cpu",
    clock: Clock | None = None,
    chunk_policy: ChunkPolicy | None = None,
) -> FlowRAGVLA:
    """The model of ``arm``.

    Args:
        arm: One of ``MODEL_ARMS``.
        policy: The shared flow policy.
        memory: What memory arms consult; None leaves them without.
        settings: Retrieval and latency.
        device: Where the model runs.
        clock: Real time for a probe; None stands for the virtual clock that ``settings`` describe.
        chunk_policy: Makes the chunks of ``flow_only`` instead of ``policy``: the same policy in another runtime.

    Raises:
        UnknownNameError: an unknown arm.
        ValueError: a ``chunk_policy`` for an arm that steers the flow, or has chunks of its own.
    """
    if arm not in MODEL_ARMS:
        raise UnknownNameError(f"unknown arm {arm!r}; available: {', '.join(MODEL_ARMS)}")
    if chunk_policy is not None and arm != "flow_only":
        raise ValueError(f"another runtime can make the chunks of flow_only alone, got arm {arm!r}")
    advisor = None
    if memory is not None and arm in MEMORY_ARMS:
        encoder = RetrievalEncoder(device=device)
        if arm == "parallel_shuffled":
            rng = np.random.Generator(np.random.Philox(key=settings.seed))
            advisor = ShuffledAdvisor(memory, encoder, settings.num_neighbours, settings.confidence_gate, rng)
        else:
            advisor = Advisor(memory, encoder, settings.num_neighbours, settings.confidence_gate)
    if clock is None:
        in_parallel = arm not in ("sequential", "rag_only")
        retrieval_ms = settings.retrieval_ms if in_parallel and advisor is not None else 0.0
        clock = VirtualClock(settings.flow_ms, retrieval_ms, 1000.0 * settings.execute / CONTROL_HZ)
    if arm == "rag_only":
        chunk_policy = DemonstrationBank.load(settings.bank, policy.encoder.instructions, device)
    return FlowRAGVLA(
        policy,
        advisor,
        steering=blend if arm == "parallel_blend" else warm_start,
        chunk_policy=chunk_policy,
        use_parallel=arm not in ("sequential", "rag_only"),
        clock=clock,
        constant_candidates=CAUTIOUS if arm == "always_cautious" else (),
    )


def build_agent(
    arm: str,
    policy: PolicyCheckpoint,
    memory: FailureMemory | None,
    settings: ArmSettings,
    *,
    num_envs: int,
    max_steps: int,
    device: str = "cpu",
    remembers: bool = True,
    chunk_policy: ChunkPolicy | None = None,
) -> Agent:
    """``arm`` for a fleet of ``num_envs``; errors as in ``build_model``.

    Raises:
        ValueError: an unknown detector, or no readable checkpoint of the learned one.
    """
    if settings.detector not in DETECTORS:
        raise ValueError(f"unknown detector {settings.detector!r}; available: {', '.join(DETECTORS)}")
    return FleetAgent(
        build_model(arm, policy, memory, settings, device=device, chunk_policy=chunk_policy),
        RetrievalEncoder(device=device),
        num_envs=num_envs,
        max_steps=max_steps,
        execute=settings.execute,
        device=device,
        remembers=remembers,
        detector=load_detector(DEFAULT_DETECTOR, device) if settings.detector == "learned" else None,
    )
