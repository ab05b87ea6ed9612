"""The two networks that judge a window together: one knows failures it has seen, the other what successes look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.network import FailureDetector
    from flow_rag_vla.agents.detection.novelty import RandomNetworkDistillation

SCORES: tuple[str, ...] = ("classifier", "novelty")
"""Kinds of scores, in the order of their columns."""

MIN_NOVELTY = 1.0e-8


@dataclass(frozen=True)
class FailureScorer:
    """Scores windows; higher where a failure is likelier."""

    classifier: FailureDetector
    """Says how likely a failure is, and of which type."""
    novelty: RandomNetworkDistillation
    """Says how unlike successful episodes a window is, so that a kind of failure never seen is noticed as well."""

    @torch.no_grad()
    def __call__(
        self, before: torch.Tensor, after: torch.Tensor, action: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores (batch, 2) as in ``SCORES`` and the likeliest type (batch,) int64 index into ``FAILURE_TYPES``.

        Args:
            before: (batch, state_dim).
            after: (batch, state_dim).
            action: (batch, 7) mean of what was done in between.
        """
        logit, kinds = self.classifier.logits(before, after, action)
        # Distillation errors are skewed over decades; their logarithm is about as spread as a logit.
        odd = self.novelty(torch.cat([after, action], dim=1)).clamp(min=MIN_NOVELTY).log()
        return torch.stack([logit, odd], dim=1), kinds.argmax(dim=1)
