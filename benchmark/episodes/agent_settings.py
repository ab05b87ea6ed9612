"""How the benchmark's agents decide: what a command line may change of them."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Least posterior chance to help for a correction to be tried."""
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
