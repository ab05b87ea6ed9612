"""What a run may change of its arms: the agent's settings, latencies, and the networks that some arms need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank

DEFAULT_EXECUTE = 8
"""Actions of a chunk that run before the next decision."""


@dataclass
class AgentSettings:
    """How the memory arms retrieve and steer."""

    execute: int | None = None
    """Actions of a chunk that run before the next decision, at least 1; None for ``DEFAULT_EXECUTE`` or, where the
    policy's horizon is less, the horizon."""
    ode_steps: int | None = None
    """Solver steps a decision; None for the checkpoint's own."""
    num_neighbours: int = 5
    similarity_threshold: float = 0.9
    """Cosine similarity below which a case is not the same situation."""
    confidence_gate: float = 0.5
    """Least posterior chance to help for a correction to be tried, where nothing is known of doing nothing."""
    uplift_threshold: float = 0.0
    """Advice is given where the lower bound of a correction's gain over doing nothing is above it; 1 gives none."""
    caution: float = 0.1
    """Standard deviations that the bounds of the gain lie from its mean."""
    max_harm: float = 2.0
    """Points of what works without it that a memory may break: what ``uplift_threshold`` is calibrated to and what
    reports hold the harm against.  Reports count CLEAN and CONTROL together, net of what the reference arm fails, too;
    calibration counts each of the two alone and subtracts nothing.  No arm reads it."""
    num_situations: int = 32
    """Situations like an episode's own from which that gain is estimated."""
    max_cases: int = 10_000

    def executed(self, horizon: int) -> int:
        """``execute`` of a policy with chunks of ``horizon`` actions.

        Raises:
            ValueError: a chunk has fewer.
        """
        if self.execute is None:
            return min(DEFAULT_EXECUTE, horizon)
        if self.execute > horizon:
            raise ValueError(f"execute is {self.execute}, expected at most the policy's horizon of {horizon}")
        return self.execute


@dataclass(frozen=True)
class ArmSettings:
    """What arms are built from: settings as they were given, networks as they were loaded."""

    agent: AgentSettings
    """How memory arms retrieve and steer."""
    bank: DemonstrationBank | None = None
    """Demonstrated states, for arms whose chunks come from demonstrations."""
    detector: DetectorCheckpoint | None = None
    """Notices failures; None for the rules."""
    seed: int = 0
    task: str = ""
    """Short name of the task that an arm is built for, which says what corrections break there; "" for none known."""
    flow_ms: float = 0.0
    """What the virtual clock assumes of each pathway."""
    retrieval_ms: float = 0.0
