"""What a run may change of its arms: retrieval, steering's gate, latencies, and the networks that some arms need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank


@dataclass(frozen=True)
class ArmSettings:
    """How memory arms retrieve and steer, and what latencies their virtual clock assumes."""

    execute: int
    """Actions of a chunk that run before the next decision."""
    num_neighbours: int
    similarity_threshold: float
    confidence_gate: float
    max_cases: int
    bank: DemonstrationBank | None = None
    """Demonstrated states, for arms whose chunks come from demonstrations."""
    detector: DetectorCheckpoint | None = None
    """Notices failures; None for the rules."""
    seed: int = 0
    flow_ms: float = 0.0
    retrieval_ms: float = 0.0
