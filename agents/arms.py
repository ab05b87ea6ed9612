"""The ablation arms: which parts of the agent each of them has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.advice import Advisor, ShuffledAdvisor
from flow_rag_vla.agents.agent import EpisodeNotes
from flow_rag_vla.agents.corrections import CANDIDATES
from flow_rag_vla.agents.demonstration_bank import DemonstrationBank
from flow_rag_vla.agents.dual_pathway import Clock, VirtualClock
from flow_rag_vla.agents.encoders import RetrievalEncoder
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.flow_rag_vla import CAUTIOUS, FlowRAGVLA
from flow_rag_vla.agents.steering import blend, warm_start
from flow_rag_vla.memory.failure_memory import FailureMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.checkpoint import PolicyCheckpoint
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.tasks.contract import Observation

CHECKPOINT_FOLDER = Path(__file__).resolve().parent / "checkpoints"
DEFAULT_CHECKPOINT = CHECKPOINT_FOLDER / "pick_place.safetensors"
DEFAULT_BANK = CHECKPOINT_FOLDER / "pick_place_bank.safetensors"

MEMORY_ARMS: tuple[str, ...] = ("rag_only", "sequential", "parallel", "parallel_blend", "parallel_shuffled")
"""Arms that consult a failure memory, and write to it at the barriers."""

MODEL_ARMS: tuple[str, ...] = ("flow_only", *MEMORY_ARMS, "always_cautious")
"""Arms that ``build_model`` knows; ``expert`` and ``zero`` have no model."""


@dataclass(frozen=True)
class ArmSettings:
    """How memory arms retrieve and steer, and what latencies their virtual clock assumes."""

    execute: int
    num_neighbours: int
    similarity_threshold: float
    confidence_gate: float
    max_cases: int
    seed: int = 0
    flow_ms: float = 0.0
    retrieval_ms: float = 0.0


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
) -> FlowRAGVLA:
    """The model of ``arm``.

    Args:
        arm: One of ``MODEL_ARMS``.
        policy: The shared flow policy.
        memory: What memory arms consult; None leaves them without.
        settings: Retrieval and latency.
        device: Where the model runs.
        clock: Real time for a probe; None stands for the virtual clock that ``settings`` describe.

    Raises:
        KeyError: an unknown arm.
    """
    if arm not in MODEL_ARMS:
        raise KeyError(f"unknown arm {arm!r}; available: {', '.join(MODEL_ARMS)}")
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
        clock = VirtualClock(settings.flow_ms, settings.retrieval_ms if in_parallel else 0.0)
    return FlowRAGVLA(
        policy,
        advisor,
        steering=blend if arm == "parallel_blend" else warm_start,
        chunk_policy=DemonstrationBank.load(DEFAULT_BANK, device) if arm == "rag_only" else None,
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
) -> Agent:
    """``arm`` for a fleet of ``num_envs``; errors as in ``build_model``."""
    if arm == "zero":
        return ZeroAgent(num_envs, device)
    return FleetAgent(
        build_model(arm, policy, memory, settings, device=device),
        RetrievalEncoder(device=device),
        num_envs=num_envs,
        max_steps=max_steps,
        execute=settings.execute,
        device=device,
        remembers=remembers,
    )


class ZeroAgent:
    """Does nothing: what a benchmark must never call a success."""

    execute = 8

    def __init__(self, num_envs: int, device: str) -> None:
        """For ``num_envs`` environments."""
        self._num_envs, self._device = num_envs, device

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Nothing to start."""

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Zero chunks (num_envs, 8, 7)."""
        return torch.zeros(self._num_envs, self.execute, 7, device=self._device)

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """Nothing to see."""

    def notes(self) -> EpisodeNotes:
        """Nothing."""
        return EpisodeNotes.nothing(self._num_envs, self._device)

    def seems_failed(self) -> torch.Tensor:
        """(num_envs,) bool: all of them."""
        return torch.ones(self._num_envs, dtype=torch.bool, device=self._device)

    def failures(self) -> dict[int, FailureCase]:
        """Nothing."""
        return {}

    def decide_seconds(self) -> tuple[float, int]:
        """No time at all."""
        return 0.0, 0
